#!/usr/bin/env python3
"""Fail where the sources contradict ARCHITECTURE.md. With names of checks, only these run."""

import importlib
import sys

from architecture import rust_source

CHECKS = ("imports", "stage_names", "signatures", "downcasts", "public_items", "boundaries", "files", "prose")


def main():
    chosen = sys.argv[1:] or CHECKS
    unknown = [name for name in chosen if name not in CHECKS]
    if unknown:
        sys.exit(f"error: no check is called {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    sources = rust_source.sources()
    failed = [name for name in chosen if importlib.import_module(f"architecture.{name}").check(sources)]
    return 1 if failed else 0


sys.exit(main())
