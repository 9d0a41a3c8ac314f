#!/usr/bin/env python3
"""Check: the package peft opens an adapter that `scaleot export --what peft` wrote, and computes what the merged model does.

    scaleot run configs/methods/peft.toml
    scaleot export configs/methods/peft.toml --what peft --to runs/peft-adapter
    scaleot export configs/methods/peft.toml --what plug-in --to runs/peft-merged
    .peer/venv/bin/python benches/peer/peft_layout.py runs/peft-adapter runs/peft-merged

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
    parser.add_argument("merged", type=pathlib.Path)
    args = parser.parse_args()

    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base_folder = json.loads((args.adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
    load = lambda folder: AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    base, merged = load(base_folder), load(args.merged)
    tokens = torch.randint(0, base.config.vocab_size, (2, 64), generator=torch.Generator().manual_seed(0))
    alone, expected = logits(base, tokens), logits(merged, tokens)
    found = logits(PeftModel.from_pretrained(base, str(args.adapter)).eval(), tokens)
    difference, change = (found - expected).abs().max().item(), (expected - alone).abs().max().item()
    print(f"largest logit difference: peft against the merged model {difference:.1e}, merged against the base {change:.1e}")
    if not difference <= TOLERANCE < change:
        sys.exit(f"expected at most {TOLERANCE:.0e} and above {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
