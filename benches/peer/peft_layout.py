#!/usr/bin/env python3
"""Check: the package peft opens an adapter that `scaleot export --what peft` wrote, and computes what the merged model does.

Soft prompts cannot be merged: then every tensor of the file must be in the model that peft made, and the logits must change;
that the numbers are those of peft is a test of the runtime (tests/golden/llama/soft_prompt.json).

    scaleot run configs/methods/peft.toml
    scaleot export configs/methods/peft.toml --what peft --to runs/peft-adapter
    scaleot export configs/methods/peft.toml --what plug-in --to runs/peft-merged
    .peer/venv/bin/python benches/peer/peft_layout.py runs/peft-adapter --merged runs/peft-merged

Logits of the base model with the adapter against those of the exported plug-in model, fp32, and against the base alone,
which must differ: an adapter that does nothing would agree with anything.
"""

import argparse
import json
import pathlib
import sys

TOLERANCE = 1e-4


def logits(model, tokens):
    import torch

    with torch.no_grad():
        return model(tokens).logits


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("adapter", type=pathlib.Path)
    parser.add_argument("--merged", type=pathlib.Path)
    args = parser.parse_args()

    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base_folder = json.loads((args.adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
    load = lambda folder: AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    base = load(base_folder)
    tokens = torch.randint(0, base.config.vocab_size, (2, 64), generator=torch.Generator().manual_seed(0))
    alone = logits(base, tokens)
    adapted = PeftModel.from_pretrained(base, str(args.adapter)).eval()
    found = logits(adapted, tokens)
    change = (found - alone).abs().max().item()
    if args.merged:
        difference = (found - logits(load(args.merged), tokens)).abs().max().item()
        print(f"largest logit difference: peft against the merged model {difference:.1e}, against the base {change:.1e}")
    else:
        difference = differing_tensors(adapted, args.adapter / "adapter_model.safetensors")
        print(f"tensors that peft holds otherwise than the file: {difference}; largest logit difference to the base {change:.1e}")
    if not difference <= TOLERANCE < change:
        sys.exit(f"expected at most {TOLERANCE:.0e} and above {TOLERANCE:.0e}")


def differing_tensors(adapted, path):
    """How many tensors of the file are not in the model as they are in the file, or the other way round."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import load_file

    held, written = get_peft_model_state_dict(adapted), load_file(path)
    return len(held.keys() ^ written.keys()) + sum(not held[name].equal(written[name]) for name in held.keys() & written.keys())


if __name__ == "__main__":
    main()
