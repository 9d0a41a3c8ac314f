#!/usr/bin/env python3
"""Write the golden models and logits in this folder: what Transformers computes, for the Rust runtime to match.

Run it with the peer environment: `make goldens`, or
`.peer/venv/bin/python tests/golden/make_goldens.py` after `python3 scripts/setup-peer.py`.
Everything is seeded, so a second run on the same package versions writes the same weights.
"""

import json
import pathlib
import platform
import shutil

import safetensors
import tokenizers
import torch
import transformers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Qwen2Config,
)

HERE = pathlib.Path(__file__).resolve().parent
CI_MODEL = HERE.parent / "fixtures" / "ci-model"
CI_TEXT = "Roof shingle removal: A man is sitting on a roof. He starts pulling up roofing on a roof."

VOCAB, HIDDEN, FFN, LAYERS, HEADS, KV_HEADS, POSITIONS = 128, 32, 64, 2, 4, 2, 64
BATCH, LENGTH = 2, 12
SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}

LLAMA = dict(
    vocab_size=VOCAB,
    hidden_size=HIDDEN,
    intermediate_size=FFN,
    num_hidden_layers=LAYERS,
    num_attention_heads=HEADS,
    num_key_value_heads=KV_HEADS,
    max_position_embeddings=POSITIONS,
    **SPECIAL,
)
NEOX = dict(
    vocab_size=VOCAB,
    hidden_size=HIDDEN,
    intermediate_size=FFN,
    num_hidden_layers=LAYERS,
    num_attention_heads=HEADS,
    max_position_embeddings=POSITIONS,
    **SPECIAL,
)
DEFAULT_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
# Chosen so that one frequency is kept, one interpolated and two divided by the factor.
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 100.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


def versions():
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "safetensors": safetensors.__version__,
        "tokenizers": tokenizers.__version__,
    }


def build(config, seed):
    """A model in which every tensor matters: no zero bias, no unit norm, spread-out weights."""
    config.dtype = "float32"
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator) * 0.2
            is_norm_scale = parameter.dim() == 1 and name.endswith("weight")
            parameter.copy_(1.0 + noise if is_norm_scale else noise)
    return model


def digits(tensor):
    """Nested lists with seven significant digits."""
    if tensor.dim() == 0:
        return float(f"{tensor.item():.7g}")
    return [digits(row) for row in tensor]


def next_token_nll(logits, ids):
    """Negative log-likelihood of ids[1:] given their prefix, in nats."""
    logp = torch.log_softmax(logits[:, :-1].double(), -1)
    return -logp.gather(-1, ids[:, 1:, None]).squeeze(-1)


def logits_of(model, ids):
    with torch.no_grad():
        return model(input_ids=ids).logits


def rewrite_config(folder, edit):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    edit(config)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def rename_keys(config, names):
    for old, new in names.items():
        config[new] = config.pop(old)


def four_style(config):
    """The keys Transformers 4 wrote: flat rotary settings and `torch_dtype`."""
    rename_keys(config, {"dtype": "torch_dtype"})
    rope = config.pop("rope_parameters")
    theta, partial = rope.pop("rope_theta"), rope.pop("partial_rotary_factor", None)
    if config["model_type"] == "gpt_neox":
        config["rotary_emb_base"], config["rotary_pct"] = theta, partial
    else:
        config["rope_theta"] = theta
        config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    config["transformers_version"] = "4.45.0"


def write(name, model, seed, note, save=None, edit=None):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    ids = torch.randint(0, VOCAB, (BATCH, LENGTH), generator=torch.Generator().manual_seed(1000 + seed))
    logits = logits_of(model, ids)
    (save or (lambda model, folder: model.save_pretrained(folder)))(model, folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if edit:
        rewrite_config(folder, edit)

    # What was saved, not what was in memory, is what the runtime will read.
    reloaded, report = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"], (name, report)
    again = logits_of(reloaded.eval(), ids)
    assert torch.allclose(again, logits, rtol=0, atol=1e-6), f"{name}: saved folder computes something else"

    golden = {
        "note": note,
        "versions": versions(),
        "seed": seed,
        "tied": bool(model.config.tie_word_embeddings),
        "input_ids": ids.tolist(),
        "nll": digits(next_token_nll(logits, ids)),
        "logits": digits(logits),
    }
    (folder / "golden.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    size = sum(f.stat().st_size for f in folder.iterdir())
    assert size < 150_000, f"{name}: {size} bytes"
    print(f"{name:24s} {size:7d} bytes  {[f.name for f in sorted(folder.iterdir())]}")


def save_sharded(model, folder):
    model.save_pretrained(folder, max_shard_size="48KB")
    assert (folder / "model.safetensors.index.json").exists()
    assert len(list(folder.glob("model-*.safetensors"))) >= 2


def save_without_prefix(model, folder):
    """As the published GPT-2 checkpoints are: tensor names without `transformer.`."""
    model.transformer.save_pretrained(folder)
    rewrite_config(folder, lambda c: c.update(architectures=["GPT2LMHeadModel"]))


def families():
    llama = build(LlamaConfig(**LLAMA, tie_word_embeddings=True, rope_parameters=dict(DEFAULT_ROPE)), 1)
    write("llama", llama, 1, "tied embeddings, grouped-query attention, Transformers 5 config")
    write("llama-v4-config", llama, 1, "the same weights with a Transformers 4 config.json", edit=four_style)

    untied = build(LlamaConfig(**LLAMA, tie_word_embeddings=False, rope_parameters=dict(DEFAULT_ROPE)), 2)
    write("llama-untied-sharded", untied, 2, "lm_head of its own, several shards and an index", save=save_sharded)

    scaled = build(LlamaConfig(**LLAMA, tie_word_embeddings=True, rope_parameters=dict(LLAMA3_ROPE)), 3)
    write("llama-rope-llama3", scaled, 3, "rotary scaling of type llama3, Transformers 5 config")
    write("llama-rope-llama3-v4", scaled, 3, "the same with rope_theta and rope_scaling", edit=four_style)

    biased = build(
        LlamaConfig(**LLAMA, tie_word_embeddings=True, attention_bias=True, mlp_bias=True, head_dim=12), 4
    )
    write("llama-biases-head-dim", biased, 4, "attention_bias, mlp_bias, head_dim that is not hidden/heads")

    gpt2 = build(
        GPT2Config(
            vocab_size=VOCAB,
            n_embd=HIDDEN,
            n_inner=FFN,
            n_layer=LAYERS,
            n_head=HEADS,
            n_positions=POSITIONS,
            **SPECIAL,
        ),
        5,
    )
    write("gpt2", gpt2, 5, "tied, fused transposed (Conv1D) projections, gelu_new")
    write("gpt2-bare-names", gpt2, 5, "the same weights named as in the published files", save=save_without_prefix)

    opt = build(
        OPTConfig(
            vocab_size=VOCAB,
            hidden_size=HIDDEN,
            word_embed_proj_dim=HIDDEN,
            ffn_dim=FFN,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            max_position_embeddings=POSITIONS,
            do_layer_norm_before=True,
            **SPECIAL,
        ),
        6,
    )
    write("opt", opt, 6, "pre-norm, learned positions with offset 2, relu, tied")

    qwen2 = build(Qwen2Config(**LLAMA, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}), 7)
    write("qwen2", qwen2, 7, "biases on q, k, v only, untied as by default")
    qwen2_tied = build(
        Qwen2Config(**LLAMA, tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 1e6}), 8
    )
    write("qwen2-tied-v4", qwen2_tied, 8, "tied as in the small Qwen2 models, Transformers 4 config", edit=four_style)

    rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25}
    parallel = build(GPTNeoXConfig(**NEOX, use_parallel_residual=True, rope_parameters=dict(rope)), 9)
    write("gpt_neox", parallel, 9, "parallel residual, a quarter of each head rotated, untied")
    write("gpt_neox-v4-config", parallel, 9, "the same weights with rotary_pct and rotary_emb_base", edit=four_style)
    rope["partial_rotary_factor"] = 0.5
    sequential = build(GPTNeoXConfig(**NEOX, use_parallel_residual=False, rope_parameters=dict(rope)), 10)
    write("gpt_neox-sequential", sequential, 10, "sequential residual, half of each head rotated")

    mistral = build(MistralConfig(**LLAMA, tie_word_embeddings=False, sliding_window=None), 11)
    write("mistral", mistral, 11, "as llama; no sliding window")


def ci_model():
    tokenizer = AutoTokenizer.from_pretrained(CI_MODEL)
    model = AutoModelForCausalLM.from_pretrained(CI_MODEL, dtype=torch.float32, attn_implementation="eager").eval()
    ids = torch.tensor([tokenizer(CI_TEXT, add_special_tokens=False)["input_ids"][:16]])
    assert ids.shape == (1, 16)
    logits = logits_of(model, ids)
    golden = {
        "note": f"first 16 tokens of `text` on the model in tests/fixtures/{CI_MODEL.name}",
        "versions": versions(),
        "text": CI_TEXT,
        "input_ids": ids.tolist(),
        "nll": digits(next_token_nll(logits, ids)),
        "logits": digits(logits),
    }
    folder = HERE / "ci-model"
    folder.mkdir(exist_ok=True)
    (folder / "golden.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(f"{'ci-model':24s} mean nll {next_token_nll(logits, ids).mean():.4f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    families()
    ci_model()
