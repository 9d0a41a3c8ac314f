#!/usr/bin/env python3
"""Write rope_sections.json: how Transformers reads the rotary keys of a config.json, for the Rust reader to match.

Every case is a family, some keys, and either the frequencies (radians a position, one a rotated pair), the factor that
cos and sin are multiplied by and the longest sequence for which both hold, or the error that Transformers ends with when
the model is built and run once. Run it as make_goldens.py is run.
"""

import json
import logging
import pathlib
import tempfile
import warnings

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity(logging.CRITICAL)
HERE = pathlib.Path(__file__).resolve().parent
POSITIONS = 64
BASE = {
    "vocab_size": 16,
    "hidden_size": 32,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "max_position_embeddings": POSITIONS,
}
FAMILIES = {
    "llama": {"num_key_value_heads": 4, "rms_norm_eps": 1e-6, "hidden_act": "silu"},
    "mistral": {"num_key_value_heads": 4, "rms_norm_eps": 1e-6, "hidden_act": "silu", "sliding_window": None},
    "qwen2": {"num_key_value_heads": 4, "rms_norm_eps": 1e-6, "hidden_act": "silu"},
    "gpt_neox": {"hidden_act": "gelu"},
}
LINEAR = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 100.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 16}
LONG = {
    "rope_type": "longrope",
    "rope_theta": 100.0,
    "short_factor": [1.0, 1.1, 1.2, 1.3],
    "long_factor": [1.5, 2.0, 3.0, 4.0],
    "original_max_position_embeddings": 32,
}
DEFAULT = {"rope_type": "default", "rope_theta": 10000.0}


def without(section, *keys):
    return {key: value for key, value in section.items() if key not in keys}


def both(old, new):
    return {"rope_scaling": old, "rope_parameters": new}


def sections():
    """Cases for every family: name, keys."""
    yield "no section", {}
    yield "theta alone", {"rope_theta": 500.0}
    yield "theta null", {"rope_theta": None}
    null = {"rope_type": "default", "rope_theta": None}
    yield "theta null in the section", {"rope_parameters": null, "rope_theta": 500.0}
    yield "theta in both places", {"rope_parameters": dict(DEFAULT), "rope_theta": 500.0}
    yield "theta beside the section", {"rope_parameters": {"rope_type": "default"}, "rope_theta": 500.0}
    yield "theta whole number", {"rope_parameters": {"rope_type": "default", "rope_theta": 500}}
    yield "theta a string", {"rope_parameters": {"rope_type": "default", "rope_theta": "1e4"}}
    yield "theta of neox", {"rotary_emb_base": 500.0}
    yield "theta of neox beside the section", {"rotary_emb_base": 500.0, "rope_parameters": {"rope_type": "default"}}
    yield "theta of neox in both places", {"rotary_emb_base": 500.0, "rope_parameters": dict(DEFAULT)}
    yield "theta of neox null", {"rotary_emb_base": None}
    yield "sections null", both(None, None)
    yield "sections empty", both({}, {})
    yield "empty old section beside a new one", both({}, dict(LINEAR))
    yield "both sections agree", both(dict(LINEAR), dict(LINEAR))
    yield "old section wins, linear", both({"type": "linear", "factor": 2.0}, dict(DEFAULT))
    yield "old section wins, default", both({"rope_type": "default"}, dict(LINEAR))
    yield "old section wins, its theta is the default", both({"type": "linear", "factor": 2.0}, {"rope_theta": 500.0, "rope_type": "default"})
    yield "old section wins, theta beside it", {**both({"type": "linear", "factor": 2.0}, {"rope_theta": 500.0, "rope_type": "default"}), "rope_theta": 700.0}
    yield "old section alone", {"rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 2.0}}
    yield "no type", {"rope_theta": 10000.0, "rope_scaling": {"factor": 4.0}}
    yield "no type, new", {"rope_parameters": {"rope_theta": 10000.0, "factor": 4.0}}
    yield "two types, default first", {"rope_parameters": {**DEFAULT, "type": "linear", "factor": 2.0}}
    yield "two types, linear first", {"rope_parameters": {**LINEAR, "type": "default"}}
    yield "type null", {"rope_parameters": {"rope_type": None, "rope_theta": 10000.0}}
    yield "type null beside an old one", {"rope_parameters": {**LINEAR, "rope_type": None, "type": "linear"}}
    yield "type unknown", {"rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}}
    yield "type of axial models", {"rope_parameters": {"rope_type": "axial", "rope_theta": 10000.0}}
    yield "a list", {"rope_scaling": [1.0]}
    yield "a word", {"rope_scaling": "linear"}
    nested = {"full_attention": {"rope_theta": 1000000.0, "rope_type": "default"}}
    yield "nested", {"rope_parameters": nested}
    yield "nested with layer types", {"rope_parameters": nested, "layer_types": ["full_attention"]}
    yield "nested in the old section", {"rope_scaling": nested, "layer_types": ["full_attention"]}
    yield "nested beside flat", {"rope_parameters": {**DEFAULT, **nested}}
    for share in (0.5, 0.75, 1.0, 0.25, 0.9, 2.0, None):
        yield f"share {share} in the section", {"rope_parameters": {**DEFAULT, "partial_rotary_factor": share}}
        yield f"share {share} beside it", {"partial_rotary_factor": share}
        yield f"share {share} as neox says it", {"rotary_pct": share}
        yield f"share {share} in a linear section", {"rope_parameters": {**LINEAR, "partial_rotary_factor": share}}
        yield f"share {share} beside a linear section", {"rope_parameters": dict(LINEAR), "partial_rotary_factor": share}
    yield "shares in both places", {"rope_parameters": {**DEFAULT, "partial_rotary_factor": 0.5}, "rotary_pct": 0.75, "partial_rotary_factor": 1.0}
    yield "linear without a factor", {"rope_parameters": without(LINEAR, "factor")}
    yield "linear, factor below one", {"rope_parameters": {**LINEAR, "factor": 0.5}}
    yield "linear, factor null", {"rope_parameters": {**LINEAR, "factor": None}}
    yield "dynamic", {"rope_parameters": {**LINEAR, "rope_type": "dynamic"}}
    yield "dynamic, old", {"rope_scaling": {"type": "dynamic", "factor": 8.0}, "rope_theta": 500.0}
    yield "dynamic without a factor", {"rope_parameters": {**DEFAULT, "rope_type": "dynamic"}}
    yield "dynamic on a share", {"rope_parameters": {**LINEAR, "rope_type": "dynamic", "partial_rotary_factor": 0.5}}
    whole = {"partial_rotary_factor": 1.0}
    for name, share in (("", {}), (", whole heads", whole)):
        yield f"llama3{name}", {"rope_parameters": {**LLAMA3, **share}}
        yield f"llama3, old{name}", {"rope_scaling": {**without(LLAMA3, "rope_theta"), **share}, "rope_theta": 100.0}
        yield f"llama3 without the original context{name}", {"rope_parameters": {**without(LLAMA3, "original_max_position_embeddings"), **share}}
        yield f"llama3, original context beside it{name}", {"rope_parameters": {**LLAMA3, **share}, "original_max_position_embeddings": 16}
        yield f"llama3, original context beside it alone{name}", {"rope_parameters": {**without(LLAMA3, "original_max_position_embeddings"), **share}, "original_max_position_embeddings": 16}
        yield f"llama3, original context null beside it{name}", {"rope_parameters": {**LLAMA3, **share}, "original_max_position_embeddings": None}
        yield f"llama3 without low_freq_factor{name}", {"rope_parameters": {**without(LLAMA3, "low_freq_factor"), **share}}
        yield f"llama3 without high_freq_factor{name}", {"rope_parameters": {**without(LLAMA3, "high_freq_factor"), **share}}
        yield f"llama3 without a factor{name}", {"rope_parameters": {**without(LLAMA3, "factor"), **share}}
        yield f"llama3, factors the wrong way round{name}", {"rope_parameters": {**LLAMA3, **share, "low_freq_factor": 4.0, "high_freq_factor": 1.0}}
        yield f"yarn{name}", {"rope_parameters": {**YARN, **share}}
        yield f"yarn, old{name}", {"rope_scaling": {**without(YARN, "rope_theta", "rope_type"), "type": "yarn", **share}, "rope_theta": 10000.0}
        yield f"yarn without the original context{name}", {"rope_parameters": {**without(YARN, "original_max_position_embeddings"), **share}}
        yield f"yarn, original context beside it{name}", {"rope_parameters": {**YARN, **share}, "original_max_position_embeddings": 32}
        yield f"yarn without a factor{name}", {"rope_parameters": {**without(YARN, "factor"), **share}}
        yield f"yarn, factor null{name}", {"rope_parameters": {**YARN, "factor": None, **share}}
        yield f"yarn, factor one{name}", {"rope_parameters": {**YARN, "factor": 1.0, **share}}
        yield f"yarn, attention factor{name}", {"rope_parameters": {**YARN, "attention_factor": 0.75, **share}}
        yield f"yarn, attention factor null{name}", {"rope_parameters": {**YARN, "attention_factor": None, **share}}
        yield f"yarn, mscale{name}", {"rope_parameters": {**YARN, "mscale": 0.8, "mscale_all_dim": 0.5, **share}}
        yield f"yarn, mscale alone{name}", {"rope_parameters": {**YARN, "mscale": 0.8, **share}}
        yield f"yarn, mscale zero{name}", {"rope_parameters": {**YARN, "mscale": 0.0, "mscale_all_dim": 0.5, **share}}
        yield f"yarn, betas{name}", {"rope_parameters": {**YARN, "beta_fast": 2.0, "beta_slow": 0.5, **share}}
        yield f"yarn, betas null{name}", {"rope_parameters": {**YARN, "beta_fast": None, "beta_slow": 0, **share}}
        yield f"yarn, not truncated{name}", {"rope_parameters": {**YARN, "beta_fast": 2.0, "truncate": False, **share}}
        yield f"yarn, theta one{name}", {"rope_parameters": {**YARN, "rope_theta": 1.0, **share}}
        yield f"longrope{name}", {"rope_parameters": {**LONG, **share}}
        yield f"longrope, factor{name}", {"rope_parameters": {**LONG, "factor": 8.0, **share}}
        yield f"longrope, factor below one{name}", {"rope_parameters": {**LONG, "factor": 0.5, **share}}
        yield f"longrope, attention factor{name}", {"rope_parameters": {**LONG, "attention_factor": 1.5, **share}}
        yield f"longrope without the original context{name}", {"rope_parameters": {**without(LONG, "original_max_position_embeddings"), **share}}
        yield f"longrope, original context beside it{name}", {"rope_parameters": {**LONG, **share}, "original_max_position_embeddings": 16}
        yield f"longrope without long_factor{name}", {"rope_parameters": {**without(LONG, "long_factor"), **share}}
        yield f"longrope without short_factor{name}", {"rope_parameters": {**without(LONG, "short_factor"), **share}}
        yield f"longrope, too few short factors{name}", {"rope_parameters": {**LONG, "short_factor": [1.0, 1.1], **share}}
        yield f"longrope, too few long factors{name}", {"rope_parameters": {**LONG, "long_factor": [1.0, 1.1], **share}}
        yield f"proportional{name}", {"rope_parameters": {**DEFAULT, "rope_type": "proportional", **share}}
    yield "longrope on a share", {"rope_parameters": {**LONG, "short_factor": [1.0, 1.1], "long_factor": [2.0, 3.0], "partial_rotary_factor": 0.5}}
    yield "yarn on a share", {"rope_parameters": {**YARN, "partial_rotary_factor": 0.5}}
    for share in (0.0, 0.3, 0.5, 1.5):
        yield f"proportional, share {share}", {"rope_parameters": {**DEFAULT, "rope_type": "proportional", "partial_rotary_factor": share}}
    yield "proportional, factor", {"rope_parameters": {**DEFAULT, "rope_type": "proportional", "partial_rotary_factor": 0.5, "factor": 4.0}}
    yield "head_dim of its own", {"head_dim": 6}
    yield "head_dim odd", {"head_dim": 5}
    yield "head_dim of its own, linear", {"head_dim": 6, "rope_parameters": dict(LINEAR)}
    yield "head_dim odd, a share", {"head_dim": 5, "rope_parameters": {**LINEAR, "partial_rotary_factor": 0.9}}


def read(family, keys):
    """What Transformers makes of the keys."""
    config = {"model_type": family, **BASE, **FAMILIES[family], **keys}
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "config.json").write_text(json.dumps(config))
        try:
            model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32, attn_implementation="eager").eval()
            rotary = model.base_model.rotary_emb
            longest = 0
            with torch.no_grad():
                model(torch.zeros(1, 4, dtype=torch.long))
                first = rotary.inv_freq.clone()
                for length in range(1, POSITIONS + 1):
                    rotary(torch.zeros(1, 1), torch.tensor([[length - 1]]))
                    if not torch.equal(first, rotary.inv_freq):
                        break
                    longest = length
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}".splitlines()[0][:160]}
    frequencies = [float(f"{value:.9g}") for value in first.tolist()]
    return {"frequencies": frequencies, "attention_factor": float(rotary.attention_scaling), "longest": longest}


if __name__ == "__main__":
    torch.set_num_threads(1)
    cases = [
        {"family": family, "name": name, "keys": keys, **read(family, json.loads(json.dumps(keys)))}
        for family in FAMILIES
        for name, keys in sections()
        # Families that turn whole heads do so anyway.
        if family == "gpt_neox" or "whole heads" not in name
    ]
    lines = ",\n".join(json.dumps(case) for case in cases)
    (HERE / "rope_sections.json").write_text(f"[\n{lines}\n]\n")
    print(len(cases), "cases,", sum("error" in case for case in cases), "errors, transformers", transformers.__version__)
