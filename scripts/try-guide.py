#!/usr/bin/env python3
"""Run the commands of docs/guide as they stand there, each page in an empty folder of its own; fail where one fails.

  scripts/try-guide.py                 every page (a few minutes)
  scripts/try-guide.py owner.md        one page
  scripts/try-guide.py --program FILE  another build than target/release/scaleot

A block of TOML that begins with `# NAME.toml` becomes that file, a block of `sh` is run by bash, in the page's order.
Needs what `make setup-model` and a build of the workspace leave; outputs are not compared, since they hold times.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
GUIDE = ROOT / "docs" / "guide"
# What the pages expect in the folder that they run in: that of a checkout.
CHECKOUT = (".assets", "configs", "tests", "plugin-api")
BLOCK = re.compile(r"^```(toml|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks_of(page):
    text = page.read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        yield text.count("\n", 0, block.start()) + 1, block[1], block[2]


def try_page(page, environment):
    """The places of the commands that fail, as lines for a person."""
    failures = []
    with tempfile.TemporaryDirectory(prefix="scaleot-guide-") as folder:
        folder = pathlib.Path(folder)
        for name in CHECKOUT:
            (folder / name).symlink_to(ROOT / name)
        for line, language, body in blocks_of(page):
            if language == "toml":
                if name := re.match(r"# ([\w./-]+\.toml)\n", body):
                    (folder / name[1]).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name[1]).write_text(body, encoding="utf-8")
                continue
            done = subprocess.run(
                ["bash", "-e", "-o", "pipefail", "-c", body], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
            )
            if done.returncode != 0:
                said = done.stderr.strip().splitlines()[-1:] or ["no message"]
                failures.append(f"{page.relative_to(ROOT)}, line {line}: exit status {done.returncode}: {said[0]}")
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", help="file names in docs/guide; every page if none is given")
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "target" / "release" / "scaleot")
    arguments = parser.parse_args()
    if not arguments.program.is_file():
        sys.exit(f"error: {arguments.program}: no such program; build it (cargo build --release --workspace), or name one with --program")
    environment = dict(os.environ, PATH=f"{arguments.program.resolve().parent}:{os.environ['PATH']}")
    pages = [GUIDE / name for name in arguments.pages] or sorted(GUIDE.glob("*.md"))
    failures = []
    for page in pages:
        found = try_page(page, environment)
        print(f"{page.name}: {'failed' if found else 'ok'}", flush=True)
        failures += found
    if failures:
        sys.exit("error: " + "\n       ".join(failures))


main()
