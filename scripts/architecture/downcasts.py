"""Downcasts in the host and the contract: an error's type is known where the error is made."""

from . import known_faults, rust_source

# A panic's payload is `dyn Any` and becomes text here; nothing else may ask for a type.
PANIC_PAYLOADS = {"plugin-api/src/export/mod.rs", "host/data/src/fence.rs"}
# Downcasts that stand for now, by file. The numbers only ever shrink.
KNOWN = {}
CALLS = {"downcast", "downcast_ref", "downcast_mut"}


def check(sources):
    places, fences = {}, set()
    for source in sources:
        if not source.path.startswith(("host/", "plugin-api/")):
            continue
        for index, token in enumerate(source.code):
            texts = [near.text for near in source.code[index : index + 3]]
            if token.kind != "word" or not (token.text in CALLS or texts == ["is", "::", "<"]):
                continue
            if source.path in PANIC_PAYLOADS:
                fences.add(source.path)
                continue
            fault = f"{source.path}:{token.line}: {token.text} asks for a type at run time; take the answer where the type is still known"
            places.setdefault(source.path, []).append(fault)
    failed = known_faults.report_counts("downcasts", "downcasts", places, KNOWN)
    for path in PANIC_PAYLOADS - fences:
        print(f"error: {path} has no downcast left; remove it from PANIC_PAYLOADS in scripts/architecture/downcasts.py")
        failed = 1
    return failed
