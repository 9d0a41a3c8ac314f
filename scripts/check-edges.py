#!/usr/bin/env python3
"""Fail when a crate depends on what it must not: an arrow that points back, or a plugin that reaches libtorch or the host."""

import json
import subprocess
import sys

# The host's crates from the ground up; each may depend on those before it.
FLOORS = ("store", "tensor", "data", "config", "model", "plugins", "pipeline", "suite", "scaleot")
# What the contract and its plugins never reach.
OUT_OF_REACH = ("tch", "torch-sys", *(f"scaleot-{floor}" for floor in FLOORS[:-1]), "scaleot")
CONTRACT = ("scaleot-plugin-api", "scaleot-plugin-conformance")


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], capture_output=True, text=True)


def packages():
    listed = cargo("metadata", "--format-version=1", "--no-deps")
    if listed.returncode != 0:
        sys.exit(f"error: cargo metadata failed: {listed.stderr.strip()}")
    return {package["name"]: package for package in json.loads(listed.stdout)["packages"]}


def backward_arrows(known):
    """Dependencies of a host crate on one that stands on the same floor or above."""
    names = ["scaleot" if floor == "scaleot" else f"scaleot-{floor}" for floor in FLOORS]
    missing = [name for name in names if name not in known]
    if missing:
        sys.exit(f"error: expected the host's crates {names} in the workspace, {missing} are missing")
    for index, name in enumerate(names):
        for dependency in known[name]["dependencies"]:
            if dependency["name"] in names[index:]:
                yield f"{name} must not depend on {dependency['name']}, which stands on the same floor or above"


def forbidden_reach(crates):
    """Plugin crates whose dependencies lead to libtorch or to the host."""
    for crate in crates:
        for target in OUT_OF_REACH:
            tree = cargo("tree", "--package", crate, "--edges", "normal,build", "--invert", target)
            if "did not match any packages" in tree.stderr or "nothing to print" in tree.stderr:
                continue
            yield f"{crate} must not depend on {target}:\n{tree.stdout.strip() or tree.stderr.strip()}"


def main():
    known = packages()
    guarded = sorted(name for name in known if name.startswith("plugin-"))
    if not set(CONTRACT) <= set(known) or not guarded:
        sys.exit(f"error: expected {' and '.join(CONTRACT)} and plugin crates in the workspace, found {sorted(known)}")
    guarded[:0] = CONTRACT
    faults = [*backward_arrows(known), *forbidden_reach(guarded)]
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    if not faults:
        print(f"no forbidden dependency: {', '.join(guarded)} reach neither libtorch nor the host; no arrow points back")
    return 1 if faults else 0


sys.exit(main())
