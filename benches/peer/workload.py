"""What both peer benchmarks share: the questions, their prompts, and honest clocks."""

import json
import os
import pathlib
import resource
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MODEL = ROOT / ".assets" / "models" / "smollm2-135m-instruct"
TASKS = ROOT / ".assets" / "tasks"


def seconds_since_process_start():
    """Counts the interpreter and the imports too: what a person waits for."""
    fields = pathlib.Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def peak_rss_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def questions(task, split, limit):
    """The first `limit` questions, in file order."""
    rows = []
    with open(TASKS / task / f"{split}.jsonl", encoding="utf-8") as file:
        for line in file:
            rows.append(json.loads(line))
            if len(rows) == limit:
                break
    return rows


def requests(task, row):
    """(context, continuation) of each choice, prompted as in lm-evaluation-harness."""
    if task == "winogrande":
        before, after = row["sentence"].split("_")
        return [(before + option, " " + after.strip()) for option in row["choices"]]
    if task in ("arc_easy", "arc_challenge", "commonsense_qa"):
        context = f"Question: {row['question']}\nAnswer:"
    elif task == "openbookqa":
        context = row["question_stem"]
    elif task == "piqa":
        context = f"Question: {row['goal']}\nAnswer:"
    elif task == "sciq":
        support = row["support"].lstrip()
        context = (support + "\n" if support else "") + f"Question: {row['question']}\nAnswer:"
    elif task == "boolq":
        context = f"{row['passage']}\nQuestion: {row['question']}?\nAnswer:"
    elif task == "social_iqa":
        context = f"Q: {row['context']} {row['question']}\nA:"
    else:  # hellaswag, copa: the query is the prompt
        context = row["query"]
    return [(context, " " + choice) for choice in row["choices"]]


def encode_pair(tokenizer, context, continuation):
    """Token ids of the context and of the continuation, split where the context's own encoding ends."""
    whole = tokenizer.encode(context + continuation, add_special_tokens=False)
    length = len(tokenizer.encode(context, add_special_tokens=False))
    return whole[:length], whole[length:]


def load(model, threads):
    """The model and tokenizer in fp32 on `threads` threads."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(threads)
    tokenizer = AutoTokenizer.from_pretrained(model)
    return AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32), tokenizer


def versions():
    import torch
    import transformers

    return {"torch": torch.__version__, "transformers": transformers.__version__}
