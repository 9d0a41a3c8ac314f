#!/usr/bin/env python3
"""Put a libtorch that runs on the CPU at .libtorch/VERSION (idempotent). Needs python3 with pip.

The CPU half of three pinned wheels is unpacked once into the cache (SCALEOT_CACHE, by default
~/.cache/scaleot) and .libtorch/VERSION links there, so that a second clone takes no time and no space.
The relative layout of the wheels is kept: the libraries find each other by it.
"""

import os
import pathlib
import shutil
import sys
import zipfile

import wheelhouse
from wheelhouse import CACHE, SetupError, say

ROOT = pathlib.Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "scripts" / "libtorch.requirements.txt"
AGAIN = "python3 scripts/setup-libtorch.py"
VERSION = "2.11.0"
LINK = ROOT / ".libtorch" / VERSION
LIBRARIES = {f"torch/lib/{name}" for name in ("libc10.so", "libtorch_cpu.so", "libtorch.so", "libgomp.so.1")} | {
    f"nvidia/cu13/lib/{name}" for name in ("libcudart.so.13", "libcupti.so.13")
}
LAYOUT = b"1"  # raise it when what is unpacked changes
WHEEL_OPTIONS = ["--python-version", "3.12", "--implementation", "cp"]
for tag in ("manylinux_2_28_x86_64", "manylinux_2_25_x86_64", "manylinux2014_x86_64"):
    WHEEL_OPTIONS += ["--platform", tag]


def wanted(name):
    is_licence = ".dist-info/" in name and ("licenses/" in name or name.endswith("METADATA"))
    return name in LIBRARIES or name.startswith("torch/include/") or is_licence


def is_complete(folder, stamp):
    try:
        return (folder / "STAMP").read_text().strip() == stamp and all((folder / name).exists() for name in LIBRARIES)
    except OSError:
        return False


def unpack(place, stamp):
    wheelhouse.need_room(CACHE, 1200)
    wheels = wheelhouse.fetch(REQUIREMENTS, AGAIN, WHEEL_OPTIONS)
    with wheelhouse.scratch(place.parent) as tmp:
        out = tmp / "out"
        for wheel in wheels:
            say(f"{wheel.name.split('-cp')[0].split('-py3')[0]}: unpacking")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(out, [name for name in archive.namelist() if wanted(name)])
        (out / "torch" / "build-version").write_text(VERSION + "\n")  # makes torch-sys check the version
        (out / "STAMP").write_text(stamp + "\n")
        if not is_complete(out, stamp):
            raise SetupError("the wheels do not hold the libraries that they should", wheelhouse.EXIT_REFUSED)
        wheelhouse.put(out, place)


def main():
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        raise SetupError(f"libtorch is pinned for Linux on x86-64, this is {sys.platform} on {os.uname().machine}; set LIBTORCH to a libtorch {VERSION} of your own.")
    stamp = wheelhouse.digest(REQUIREMENTS, LAYOUT)
    if is_complete(LINK, stamp):
        print(f"libtorch {VERSION} is in place")
        return 0
    place = CACHE / "libtorch" / f"{VERSION}-{stamp[:12]}"
    with wheelhouse.locked(place.parent):
        if not is_complete(place, stamp):
            unpack(place, stamp)
    with wheelhouse.locked(LINK.parent), wheelhouse.scratch(LINK.parent) as tmp:
        (tmp / "link").symlink_to(place, target_is_directory=True)
        if LINK.is_dir() and not LINK.is_symlink():
            LINK.rename(tmp / "old")
        (tmp / "link").replace(LINK)
        shutil.rmtree(tmp / "old", ignore_errors=True)
    say(f"libtorch {VERSION} is in place")
    return 0


wheelhouse.run(main)
