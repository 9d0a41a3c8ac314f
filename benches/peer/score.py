#!/usr/bin/env python3
"""Peer: multiple-choice log-likelihood with Transformers, as lm-evaluation-harness does it.

One right-padded sequence a choice, longest first, in batches; prints one JSON object.
"""

import argparse
import json
import os
import time

import workload


def score_batch(model, tokenizer, batch):
    """The summed log-probability of each continuation in `batch` of (context ids, continuation ids)."""
    import torch

    # A token's own logits come from the one before it, so the last token is never fed.
    inputs = [(context + continuation)[:-1] for context, continuation in batch]
    padded = tokenizer.pad({"input_ids": inputs}, padding=True, padding_side="right", return_tensors="pt")
    logits = model(**padded).logits
    sums = []
    for row, (context, continuation) in enumerate(batch):
        end = len(context) + len(continuation) - 1
        logp = torch.log_softmax(logits[row, len(context) - 1 : end], -1)
        sums.append(logp.gather(-1, torch.tensor(continuation)[:, None]).sum().item())
    return sums


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=workload.MODEL)
    parser.add_argument("--task", default="arc_easy")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch", type=int, default=8, help="sequences at a time")
    args = parser.parse_args()

    import torch

    model, tokenizer = workload.load(args.model, args.threads)
    model.eval()
    loaded = workload.seconds_since_process_start()
    rows = workload.questions(args.task, args.split, args.limit)

    begin = time.perf_counter()
    items = []
    for question, row in enumerate(rows):
        for choice, (context, continuation) in enumerate(workload.requests(args.task, row)):
            items.append((question, choice, workload.encode_pair(tokenizer, context, continuation)))
    items.sort(key=lambda item: -sum(map(len, item[2])))
    scores = [[None] * len(row["choices"]) for row in rows]
    first = None
    with torch.inference_mode():
        for at in range(0, len(items), args.batch):
            batch = items[at : at + args.batch]
            for (question, choice, _), value in zip(batch, score_batch(model, tokenizer, [item[2] for item in batch])):
                scores[question][choice] = value
            if first is None and any(None not in row for row in scores):
                first = workload.seconds_since_process_start()
    seconds = time.perf_counter() - begin

    def best(values):
        return max(range(len(values)), key=values.__getitem__)

    right = sum(best(values) == row["gold"] for values, row in zip(scores, rows))
    right_norm = sum(
        best([value / len(text) for value, text in zip(values, row["choices"])]) == row["gold"]
        for values, row in zip(scores, rows)
    )
    tokens = sum(len(context) + len(continuation) - 1 for _, _, (context, continuation) in items)
    print(json.dumps({
        "what": "score",
        "task": args.task,
        "split": args.split,
        "questions": len(rows),
        "sequences": len(items),
        "tokens": tokens,
        "threads": args.threads,
        "batch": args.batch,
        "seconds": round(seconds, 3),
        "questions_per_s": round(len(rows) / seconds, 3),
        "tokens_per_s": round(tokens / seconds, 1),
        "load_s": round(loaded, 3),
        "first_question_s": round(first, 3),
        "total_s": round(workload.seconds_since_process_start(), 3),
        "peak_rss_mb": round(workload.peak_rss_mb(), 1),
        "acc": round(right / len(rows), 4),
        "acc_norm": round(right_norm / len(rows), 4),
        "loglikelihoods": [[round(value, 4) for value in values] for values in scores[:3]],
        **workload.versions(),
    }))


if __name__ == "__main__":
    main()
