#!/usr/bin/env python3
"""Write a model folder of a family with random weights and the tokenizer of the test model, so that configs/ci.toml runs on it.

    .peer/venv/bin/python benches/peer/small_model.py gpt2 target/peft-layout/gpt2

Every tensor matters: no bias is zero, no norm's scale is one. Seeded, so a second run writes the same weights.
"""

import argparse
import pathlib
import shutil

import torch
from transformers import AutoConfig, AutoModelForCausalLM

CI_MODEL = pathlib.Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "ci-model"
SIZES = dict(hidden_size=64, num_hidden_layers=8, num_attention_heads=4, max_position_embeddings=512, vocab_size=1024)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("family", choices=["gpt2", "gpt_neox", "opt", "qwen2", "llama"])
    parser.add_argument("to", type=pathlib.Path)
    args = parser.parse_args()
    # `attribute_map` of a config turns these names into the family's own.
    widths = {"gpt2": dict(n_inner=128), "opt": dict(ffn_dim=128, word_embed_proj_dim=64)}
    special = dict(bos_token_id=0, eos_token_id=0, pad_token_id=0)
    config = AutoConfig.for_model(args.family, **SIZES, **special, **widths.get(args.family, dict(intermediate_size=128)))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator) * 0.1
            parameter.copy_(1.0 + noise if parameter.dim() == 1 and name.endswith("weight") else noise)
    model.save_pretrained(args.to)
    shutil.copy(CI_MODEL / "tokenizer.json", args.to)


if __name__ == "__main__":
    main()
