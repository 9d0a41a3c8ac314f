"""Crates, clocks, libtorch's random draws and file operations that only certain folders may name."""

import re

from . import imports, known_faults

# What is fenced in, and the folders and files that may name it.
FENCES = {
    # In the contract and its kit behind the feature `tch`, and in the one plugin that turns it on.
    "tch": (
        "host/tensor/",
        "plugin-api/src/host/torch.rs",
        "plugin-api/src/lib.rs",
        "plugin-api/conformance/src/libtorch.rs",
        "plugins/adaround/",
    ),
    "torch_sys": ("host/tensor/",),
    "abi_stable": ("plugin-api/src/export/", "host/plugins/"),
    # The tensor engine opens libtorch's CUDA library where there is one.
    "libloading": ("host/tensor/src/device.rs",),
    # No artefact holds a time: clocks measure costs, and limit how long the program waits.
    "SystemTime": (),
    "Instant": ("host/scaleot/", "host/plugins/", "host/pipeline/src/run/costs.rs", "host/store/src/run_lock.rs"),
}
# Calls that draw from libtorch's own generator, whose state no config and no checkpoint holds.
DRAWS = re.compile(
    r"(?:f_|g_|atg_|at_)?(?:rand|randn|randint|randperm|bernoulli|multinomial|dropout|native_dropout|normal|uniform|exponential|random|manual_seed)_?(?:_like|_out)?"
)
STORE = "host/store/"
# Operations that make a file or folder appear, change or go under a name that others may read.
WRITES = {("fs", "rename"), ("fs", "write"), ("fs", "copy"), ("fs", "hard_link"), ("fs", "symlink")}
WRITES |= {("fs", "create_dir"), ("fs", "create_dir_all"), ("fs", "remove_file"), ("fs", "remove_dir"), ("fs", "remove_dir_all")}
WRITES |= {("File", "create"), ("File", "create_new"), ("File", "options"), ("OpenOptions", "new")}
# Files that write all the same: (file, operation) and why.
ALLOWED_WRITES = {
    ("host/pipeline/src/run/costs.rs", "fs::write"): "resets the peak of memory in /proc, where nothing is kept",
}
# Faults that stand for now. The lists only ever shrink.
KNOWN = ()
KNOWN_DRAWS = ()
KNOWN_WRITES = ()


def fence_faults(sources):
    for source in sources:
        for token in source.code:
            if token.kind == "word" and token.text in FENCES and not source.path.startswith(FENCES[token.text]):
                allowed = " and ".join(FENCES[token.text]) or "tests"
                yield (source.path, token.text), f"{source.path}:{token.line}: only {allowed} may name {token.text}; call what these offer"


def draw_faults(sources):
    for source in sources:
        if not any(token.text in ("tch", "torch_sys") for token in source.code):
            continue
        for before, token, after in zip(source.code, source.code[1:], source.code[2:]):
            if token.kind == "word" and before.text in (".", "::") and after.text == "(" and DRAWS.fullmatch(token.text):
                advice = "libtorch's generator is not ours to seed; draw from host/tensor/src/random.rs"
                yield (source.path, token.text), f"{source.path}:{token.line}: {token.text}: {advice}"


def write_faults(sources):
    for source in sources:
        if not source.path.startswith("host/") or source.path.startswith(STORE):
            continue
        for path, line, _ in imports.Module(source).paths:
            if path[-2:] in WRITES:
                operation = "::".join(path[-2:])
                yield (source.path, operation), f"{source.path}:{line}: {operation} changes what others see; only {STORE} does that (AtomicFile, RunDir)"


def check(sources):
    sources = [source for source in sources if not source.is_test]
    failed = known_faults.report("boundaries", "crates and clocks named outside their fence", dict(fence_faults(sources)), KNOWN)
    failed = known_faults.report("boundaries", "draws from libtorch's generator", dict(draw_faults(sources)), KNOWN_DRAWS) or failed
    written = dict(write_faults(sources))
    for key in ALLOWED_WRITES:
        if written.pop(key, None) is None:
            print(f"error: {key} is gone; remove it from ALLOWED_WRITES in scripts/architecture/boundaries.py")
            failed = 1
    return known_faults.report("boundaries", f"files made, moved or removed outside {STORE}", written, KNOWN_WRITES) or failed
