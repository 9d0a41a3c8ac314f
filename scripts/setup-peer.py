#!/usr/bin/env python3
"""Make .peer/venv: Transformers and PyTorch, for `make bench` and the golden script (idempotent; 2.5 GB).

Every package of benches/peer/requirements.txt is pinned by version and hash.
"""

import pathlib
import subprocess
import sys

import wheelhouse
from wheelhouse import SetupError, say

ROOT = pathlib.Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "benches" / "peer" / "requirements.txt"
PEER = ROOT / ".peer"
VENV = PEER / "venv"
STAMP = VENV / "STAMP"
AGAIN = "python3 scripts/setup-peer.py"
OLDEST, NEWEST = (3, 11), (3, 14)


def is_complete(stamp):
    try:
        return STAMP.read_text().strip() == stamp
    except OSError:
        return False


def main():
    version = sys.version_info[:2]
    if not OLDEST <= version <= NEWEST:
        raise SetupError(f"the peer's packages are pinned for Python {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}, this is {version[0]}.{version[1]}")
    stamp = wheelhouse.digest(REQUIREMENTS, f"{version}".encode())
    if is_complete(stamp):
        print("the peer is in place")
        return 0
    with wheelhouse.locked(PEER):
        if is_complete(stamp):
            return 0
        wheelhouse.need_room(PEER, 9000)
        STAMP.unlink(missing_ok=True)
        say("peer: virtual environment")
        made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True)
        if made.returncode != 0:
            reason = (made.stdout + made.stderr).strip().splitlines()
            raise SetupError(f"python3 -m venv failed ({reason[0] if reason else 'no message'}); on Debian install python3-venv and run `{AGAIN}` again.")
        say("peer: fetching and installing 2.5 GB of packages")
        wheelhouse.pip(["install", "--require-hashes", "--only-binary=:all:", "-r", str(REQUIREMENTS)], "the peer's packages", AGAIN, python=VENV / "bin" / "python")
        STAMP.write_text(stamp + "\n")
        say("the peer is in place")
    return 0


wheelhouse.run(main)
