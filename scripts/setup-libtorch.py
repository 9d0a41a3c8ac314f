#!/usr/bin/env python3
"""Install a CPU-runnable libtorch into ./.libtorch/VERSION (idempotent). Needs python3 with pip."""
import hashlib, pathlib, shutil, subprocess, sys, tempfile, zipfile
ROOT = pathlib.Path(__file__).resolve().parent.parent
REQ = ROOT / "scripts" / "libtorch.requirements.txt"
VERSION = "2.11.0"
DEST = ROOT / ".libtorch" / VERSION
STAMP = DEST / "STAMP"
WANT = {f"torch/lib/{l}" for l in ("libc10.so", "libtorch_cpu.so", "libtorch.so", "libgomp.so.1")} \
     | {f"nvidia/cu13/lib/{l}" for l in ("libcudart.so.13", "libcupti.so.13")}
def want(n):
    return n in WANT or n.startswith("torch/include/") or (".dist-info/" in n and ("licenses/" in n or n.endswith("METADATA")))
def main():
    stamp = hashlib.sha256(REQ.read_bytes() + pathlib.Path(__file__).read_bytes()).hexdigest()
    if STAMP.exists() and STAMP.read_text().strip() == stamp:
        print(f"libtorch {VERSION} already there"); return 0
    DEST.parent.mkdir(exist_ok=True)
    tmp = pathlib.Path(tempfile.mkdtemp(prefix=".libtorch-", dir=DEST.parent))
    try:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "--no-cache-dir",
            "--only-binary=:all:", "--python-version", "3.12", "--implementation", "cp",
            "--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_25_x86_64", "--platform", "manylinux2014_x86_64",
            "-d", str(tmp / "whl"), "-r", str(REQ)], check=True)
        out = tmp / "out"
        for whl in sorted((tmp / "whl").glob("*.whl")):
            with zipfile.ZipFile(whl) as z:
                for n in z.namelist():
                    if want(n): z.extract(n, out)
            whl.unlink()
        (out / "torch" / "build-version").write_text(VERSION + "\n")   # makes torch-sys check the version
        (out / "STAMP").write_text(stamp + "\n")
        if DEST.exists(): shutil.rmtree(DEST)
        out.rename(DEST)
    finally:
        shutil.rmtree(tmp, ignore_errors=True)
    print(f"libtorch {VERSION} installed"); return 0
sys.exit(main())
