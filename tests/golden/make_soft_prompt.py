#!/usr/bin/env python3
"""Write `llama/soft_prompt.json`: what the package peft computes with soft prompts (ADAPTION_PROMPT) on the golden llama.

`make goldens` runs it after `make_goldens.py`. Prompts are seeded; the gates are such that one adds and one subtracts.
"""

import json
import pathlib

import peft
import torch
import transformers
from make_goldens import digits, logits_of
from peft import AdaptionPromptConfig, get_peft_model
from transformers import AutoModelForCausalLM

FOLDER = pathlib.Path(__file__).resolve().parent / "llama"
LENGTH, GATES = 3, [0.7, -0.4]


def main():
    golden = json.loads((FOLDER / "golden.json").read_text())
    ids = torch.tensor(golden["input_ids"])
    base = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32, attn_implementation="eager").eval()
    alone = logits_of(base, ids)
    config = AdaptionPromptConfig(task_type="CAUSAL_LM", adapter_len=LENGTH, adapter_layers=len(GATES))
    model = get_peft_model(base, config).eval()
    generator = torch.Generator().manual_seed(0)
    prompts = []
    with torch.no_grad():
        for layer, gate in zip(base.model.layers, GATES):
            values = torch.randn(1, LENGTH, base.config.hidden_size, generator=generator)
            # Few digits in the file are then all the digits there are.
            values = (values * 64).round() / 64
            layer.self_attn.adaption_prompt.copy_(values)
            layer.self_attn.adaption_gate.fill_(gate)
            prompts.append(values[0].tolist())
    logits = logits_of(model, ids)
    change = (logits - alone).abs().max().item()
    assert change > 0.1, f"the prompts change the logits by {change} only"
    record = {
        "note": f"peft ADAPTION_PROMPT; the prompts change the logits by up to {change:.3f}",
        "versions": {"peft": peft.__version__, "torch": torch.__version__, "transformers": transformers.__version__},
        "prompts": prompts,
        "gates": GATES,
        "logits": digits(logits),
    }
    (FOLDER / "soft_prompt.json").write_text(json.dumps(record, separators=(",", ":")) + "\n")
    print(record["note"])


if __name__ == "__main__":
    main()
