#!/usr/bin/env python3
"""Fail when a crate depends on what it must not: plugins and their interface never reach libtorch or the host."""

import json
import subprocess
import sys

FORBIDDEN = ("tch", "torch-sys", "host")


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], capture_output=True, text=True)


def guarded_crates():
    listed = cargo("metadata", "--format-version=1", "--no-deps")
    if listed.returncode != 0:
        sys.exit(f"error: cargo metadata failed: {listed.stderr.strip()}")
    names = [package["name"] for package in json.loads(listed.stdout)["packages"]]
    return sorted(name for name in names if name.startswith("plugin-"))


def main():
    crates = guarded_crates()
    if "plugin-api" not in crates or len(crates) < 2:
        sys.exit(f"error: expected plugin-api and plugin crates in the workspace, found {crates}")
    failures = 0
    for crate in crates:
        for target in FORBIDDEN:
            tree = cargo("tree", "--package", crate, "--edges", "normal,build", "--invert", target)
            absent = "did not match any packages" in tree.stderr or "nothing to print" in tree.stderr
            if absent:
                continue
            failures += 1
            found = tree.stdout.strip() or tree.stderr.strip()
            print(f"error: {crate} must not depend on {target}:\n{found}", file=sys.stderr)
    if failures:
        return 1
    print(f"no forbidden dependency: {', '.join(crates)} reach none of {', '.join(FORBIDDEN)}")
    return 0


sys.exit(main())
