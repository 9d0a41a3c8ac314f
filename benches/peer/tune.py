#!/usr/bin/env python3
"""Peer: tune the outer layers of a uniform-drop emulator with Transformers and PyTorch.

The emulator is Offsite-Tuning's: the first and last layers whole, the middle thinned evenly
(stride (q-1)/(k-1), round to even). Batches in file order, loss on the answer alone; prints one JSON object.
"""

import argparse
import json
import os
import time

import workload


def uniform(layers, keep):
    stride = (len(layers) - 1) / (keep - 1)
    return [layers[round(i * stride)] for i in range(keep)]


def make_emulator(model, outer, middle):
    """2 + 14 + 2 by default; only the outer layers learn. Returns which layers were kept."""
    import torch

    count = len(model.model.layers)
    edge_left, edge_right = list(range(outer)), list(range(count - outer, count))
    kept = edge_left + uniform(list(range(outer, count - outer)), middle) + edge_right
    model.model.layers = torch.nn.ModuleList(model.model.layers[i] for i in kept)
    model.config.num_hidden_layers = len(kept)
    for index, layer in enumerate(model.model.layers):
        layer.self_attn.layer_idx = index
    model.requires_grad_(False)
    for layer in [*model.model.layers[:outer], *model.model.layers[-outer:]]:
        layer.requires_grad_(True)
    return kept


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=workload.MODEL)
    parser.add_argument("--task", default="arc_easy")
    parser.add_argument("--split", default="train")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=2, help="steps before the clock starts")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--outer", type=int, default=2)
    parser.add_argument("--middle", type=int, default=14)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()

    import torch
    from transformers import DataCollatorForSeq2Seq

    model, tokenizer = workload.load(args.model, args.threads)
    kept = make_emulator(model, args.outer, args.middle)
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.lr, weight_decay=args.weight_decay, fused=True)

    examples = []
    for row in workload.questions(args.task, args.split, args.batch * (args.steps + args.warmup)):
        context, answer = workload.encode_pair(tokenizer, *workload.requests(args.task, row)[row["gold"]])
        examples.append({"input_ids": context + answer, "labels": [-100] * len(context) + answer})
    loader = torch.utils.data.DataLoader(
        examples, batch_size=args.batch, shuffle=False, collate_fn=DataCollatorForSeq2Seq(tokenizer, padding=True)
    )

    losses, tokens, timed, begin, first = [], 0, 0, time.perf_counter(), None
    for step, batch in enumerate(loader):
        if step == args.warmup:
            begin = time.perf_counter()
        loss = model(**batch, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(round(loss.item(), 5))
        first = first or workload.seconds_since_process_start()
        if step >= args.warmup:
            timed += len(batch["input_ids"])
            tokens += int(batch["attention_mask"].sum())
    seconds = time.perf_counter() - begin

    print(json.dumps({
        "what": "tune",
        "task": args.task,
        "split": args.split,
        "steps": len(losses),
        "timed_steps": len(losses) - args.warmup,
        "batch": args.batch,
        "threads": args.threads,
        "layers": kept,
        "trained_parameters": sum(parameter.numel() for parameter in trained),
        "learning_rate": args.lr,
        "weight_decay": args.weight_decay,
        "seconds": round(seconds, 3),
        "examples_per_s": round(timed / seconds, 3),
        "tokens_per_s": round(tokens / seconds, 1),
        "first_step_s": round(first, 3),
        "total_s": round(workload.seconds_since_process_start(), 3),
        "peak_rss_mb": round(workload.peak_rss_mb(), 1),
        "losses": losses,
        **workload.versions(),
    }))


if __name__ == "__main__":
    main()
