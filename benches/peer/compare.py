#!/usr/bin/env python3
"""ScaleOT beside Transformers + PyTorch: the same work, in turn, on this machine, one table.

Each side is a command that prints one JSON object as its last line, with the same keys (score.py, tune.py
and svd.py say which). Time from start to exit and peak memory are measured here, for both the same way.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import workload
from rich.console import Console
from rich.table import Table

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = workload.ROOT / "target" / "release" / "scaleot"

WORKLOADS = {
    "score arc_easy": {"task": "arc_easy", "split": "validation", "limit": 100},
    "score hellaswag": {"task": "hellaswag", "split": "validation", "limit": 60},
    "tune": {"task": "arc_easy", "split": "train", "steps": 20, "warmup": 2, "batch": 8, "lr": 1e-4, "outer": 2, "middle": 14},
    "svd": {"rank-ratio": 0.8, "outer": 2},
}
# Where each side leaves its truncated products: the layer files of the compress stage.
PRODUCTS = {side: workload.ROOT / "target" / "peer" / side / "compress" for side in ("peer", "ours")}


def peer(kind, model, threads):
    options = {"model": model, "threads": threads, **WORKLOADS[kind]}
    if kind == "svd":
        options["products"] = PRODUCTS["peer"]
    script = [sys.executable, str(HERE / f"{kind.split()[0]}.py")]
    return script + [part for key, value in options.items() for part in (f"--{key}", str(value))]


def ours(kind, model, threads):
    work = WORKLOADS[kind]
    if kind == "tune":
        command = ["bench", "tune", str(workload.ROOT / "configs" / "bench.toml"), f"model.path={model}"]
        return [str(PROGRAM), *command, "--json", "--steps", str(work["steps"]), "--threads", str(threads)]
    if kind == "svd":
        # A folder of its own each time, so that the stage runs and nothing is up to date.
        output = PRODUCTS["ours"].parent
        shutil.rmtree(output, ignore_errors=True)
        command = ["bench", "compress", str(workload.ROOT / "configs" / "bench-svd.toml"), f"model.path={model}"]
        command += [f"output={output}", f"compress.options.rank_ratio={work['rank-ratio']}"]
        return [str(PROGRAM), *command, f"adapter.layers={2 * work['outer']}", "--json", "--threads", str(threads)]
    options = {"model": model, "task": work["task"], "tasks-folder": str(workload.ROOT / ".assets" / "tasks")}
    options |= {"split": work["split"], "limit": work["limit"], "threads": threads}
    return [str(PROGRAM), "evaluate", "--json"] + [part for key, value in options.items() for part in (f"--{key}", str(value))]


COMMANDS = {"peer": peer, "ours": ours}
# (key, name in the table, True where more is better); the ratio is always "ours is this many times better".
MEASURES = {
    "score": [
        ("questions_per_s", "questions/s", True),
        ("tokens_per_s", "tokens/s", True),
        ("first_question_s", "start to first question, s", False),
        ("wall_s", "start to exit, s", False),
        ("rss_mb", "peak memory, MB", False),
        ("above_weights_mb", "peak memory above the weights, MB", False),
    ],
    "tune": [
        ("examples_per_s", "examples/s", True),
        ("tokens_per_s", "tokens/s", True),
        ("first_step_s", "start to first step, s", False),
        ("wall_s", "start to exit, s", False),
        ("rss_mb", "peak memory, MB", False),
    ],
    "svd": [
        ("matrices_per_s", "matrices/s", True),
        ("seconds", "all matrices, s", False),
        ("rss_mb", "peak memory, MB", False),
    ],
}
# What must agree before speeds may be compared: (key, largest difference allowed).
AGREEMENT = {
    "score": [("questions", 0), ("acc", 1e-4), ("acc_norm", 1e-4), ("loglikelihoods", 0.01)],
    "tune": [("steps", 0), ("layers", 0), ("losses", 0.02)],
    "svd": [("matrices", 0), ("layers", 0)],
}
# ||A - B||_F / ||B||_F of a truncated product, ours against the peer's.
LARGEST_PRODUCT_DIFFERENCE = 1e-4


def run(side, kind, threads, model):
    command = COMMANDS[side](kind, model, threads)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        begin = time.perf_counter()
        try:
            child = subprocess.Popen(command, stdout=out, stderr=err, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
        except OSError as error:
            sys.exit(f"error: cannot run {command[0]}: {error.strerror}; build it with `cargo build --release`")
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), err.seek(0)
        lines, complaint = out.read().strip().splitlines(), err.read().strip()
    if child.returncode != 0 or not lines:
        sys.exit(f"error: {' '.join(command)} ended with {child.returncode}:\n{complaint[-2000:]}")
    rss = usage.ru_maxrss / 1024
    weights = sum(file.stat().st_size for file in pathlib.Path(model).glob("*.safetensors")) / 2**20
    measured = {"wall_s": round(wall, 3), "rss_mb": round(rss, 1), "above_weights_mb": round(rss - weights, 1)}
    return {**json.loads(lines[-1]), **measured}


def largest_difference(a, b):
    if isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            return float("inf")
        return max((largest_difference(x, y) for x, y in zip(a, b)), default=0)
    return abs(a - b)


def table(kind, runs, threads):
    sides = list(runs)
    work = " ".join(f"{key}={value}" for key, value in WORKLOADS[kind].items())
    out = Table(title=f"{kind}: {work}, {threads} threads, fp32, median of {len(runs[sides[0]])} (range)", title_justify="left")
    out.add_column("")
    for name in sides + (["ours is better by"] if len(sides) == 2 else []):
        out.add_column(name, justify="right")
    for key, name, more_is_better in MEASURES[kind.split()[0]]:
        middle, cells = {}, []
        for side in sides:
            values = [run[key] for run in runs[side]]
            middle[side] = statistics.median(values)
            cells.append(f"{middle[side]:.4g} ({min(values):.4g} to {max(values):.4g})")
        if len(sides) == 2:
            ratio = middle["ours"] / middle["peer"] if more_is_better else middle["peer"] / middle["ours"]
            cells.append(f"{ratio:.2f}x")
        out.add_row(name, *cells)
    return out


def disagreements(kind, runs):
    for key, allowed in AGREEMENT[kind.split()[0]]:
        a, b = runs["peer"][0][key], runs["ours"][0][key]
        if (difference := largest_difference(a, b)) > allowed:
            yield f"{kind}: {key} differs by {difference:.4g} (allowed {allowed}): peer {a}, ours {b}"


def product_difference():
    """The largest relative difference of a truncated product, and whose it is."""
    from safetensors.torch import load_file

    worst = (0.0, "none")
    for path in sorted(PRODUCTS["peer"].glob("*.safetensors")):
        peer, ours = load_file(path), load_file(PRODUCTS["ours"] / path.name)
        for name, product in peer.items():
            difference = (ours[name].double() - product.double()).norm() / product.double().norm()
            worst = max(worst, (difference.item(), f"{path.stem} {name}"))
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default=workload.MODEL)
    parser.add_argument("--kind", choices=sorted(WORKLOADS), help="one of them instead of all")
    parser.add_argument("--only", choices=sorted(COMMANDS), help="one side alone, without ratios")
    parser.add_argument("--json", type=pathlib.Path, help="write every run there")
    args = parser.parse_args()

    if (load := os.getloadavg()[0]) > 0.5:
        print(f"warning: the load is {load:.1f} before the first run; times will say more about that than about either side", file=sys.stderr)
    console, everything, wrong = Console(width=None if sys.stdout.isatty() else 120), {}, []
    for kind in [args.kind] if args.kind else WORKLOADS:
        runs = {side: [] for side in ([args.only] if args.only else COMMANDS)}
        for number in range(args.rounds):
            for side in runs:
                print(f"{kind}, round {number + 1} of {args.rounds}: {side}", file=sys.stderr, flush=True)
                runs[side].append(run(side, kind, args.threads, args.model))
        console.print(table(kind, runs, args.threads))
        everything[kind] = runs
        if len(runs) == 2:
            wrong += disagreements(kind, runs)
        if len(runs) == 2 and kind == "svd":
            difference, where = product_difference()
            console.print(f"largest relative difference of a truncated product: {difference:.2g} ({where})")
            if not difference <= LARGEST_PRODUCT_DIFFERENCE:
                wrong.append(f"svd: {where} differs by {difference:.2g} (allowed {LARGEST_PRODUCT_DIFFERENCE})")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(everything, indent=2) + "\n")
    for sentence in wrong:
        print(f"error: {sentence}", file=sys.stderr)
    if not args.only and not wrong:
        console.print("Both sides agree: accuracies, log-likelihoods, kept layers, step losses and truncated products.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
