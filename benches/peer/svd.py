#!/usr/bin/env python3
"""Peer: truncated SVD of every attention matrix of the kept layers, in a loop over torch.linalg.svd.

W ~ U_r diag(S_r) V_r^T with r = floor(0.8 min(rows, cols)), fp32, the product whole. The outer layers on each
side are adapters and stay as they are. Prints one JSON object; writes the products where --products says.
"""

import argparse
import json
import pathlib
import time

import workload

NAMES = {"q": "attention.q", "k": "attention.k", "v": "attention.v", "o": "attention.o"}


def attention(model, outer):
    """The matrices of the kept layers in fp32, in memory of their own: {layer: {role: matrix}}."""
    from safetensors import safe_open

    layers = json.loads((pathlib.Path(model) / "config.json").read_text())["num_hidden_layers"]
    weights = {layer: {} for layer in range(outer, layers - outer)}
    for path in sorted(pathlib.Path(model).glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            names = set(file.keys())
            for layer, matrices in weights.items():
                for letter, role in NAMES.items():
                    if (name := f"model.layers.{layer}.self_attn.{letter}_proj.weight") in names:
                        matrices[role] = file.get_tensor(name).float().clone()
    return weights


def truncated(weight, rank_ratio):
    import torch

    rank = max(1, int(min(weight.shape) * rank_ratio))
    u, s, v = torch.linalg.svd(weight, full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ v[:rank]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=workload.MODEL)
    parser.add_argument("--rank-ratio", type=float, default=0.8)
    parser.add_argument("--outer", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--products", type=pathlib.Path)
    args = parser.parse_args()

    import torch
    from safetensors.torch import save_file

    torch.set_num_threads(args.threads)
    weights = attention(args.model, args.outer)
    # The first pass over a layer of each shape finds the kernels; its time does not count.
    for weight in next(iter(weights.values())).values():
        truncated(weight, args.rank_ratio)
    products = {layer: {} for layer in weights}
    began = time.perf_counter()
    for layer, matrices in weights.items():
        for role, weight in matrices.items():
            products[layer][role] = truncated(weight, args.rank_ratio)
    seconds = time.perf_counter() - began

    if args.products:
        args.products.mkdir(parents=True, exist_ok=True)
        for layer, matrices in products.items():
            named = {f"{role}.weight": product.contiguous() for role, product in matrices.items()}
            save_file(named, args.products / f"layer-{layer:03}.safetensors")
    matrices = sum(len(of_layer) for of_layer in weights.values())
    record = {"what": "svd", "layers": sorted(weights), "matrices": matrices, "threads": torch.get_num_threads()}
    record |= {"seconds": seconds, "matrices_per_s": matrices / seconds, "peak_rss_mb": workload.peak_rss_mb()}
    print(json.dumps(record | {"versions": {"torch": torch.__version__}}))


if __name__ == "__main__":
    main()
