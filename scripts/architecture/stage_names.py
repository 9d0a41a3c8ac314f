"""Names of stages as string literals outside the table of stages."""

import re

from . import known_faults, rust_source

TABLE = "host/pipeline/src/stage.rs"
NAME = re.compile(r"importance|replace|train|compress|bundle|ledger|tune|tuning|return|plug[_-]in|evaluate|full[_-]tuning|evaluate[_-]\S*")
# The sections and columns of a config are spelled like stages, and this crate stands below the table.
CONFIG = "host/config/"
# A literal behind this call is a key of the config.
KEY = ["KeyPath", "::", "of", "("]
# Words that are spelled like a stage and mean something else.
OTHER_MEANING = {
    ("host/data/src/task.rs", "train"): "a split of a task",
    ("host/suite/src/report/bars.rs", "bundle"): "a group of bars: the bundle's bytes",
    ("host/suite/src/table.rs", "bundle"): "a column: the bundle's bytes",
    ("host/suite/src/table.rs", "plug-in"): "a column of scores",
}
# Literals that stand for now, by file. The numbers only ever shrink.
KNOWN = {}


def check(sources):
    places, met = {}, set()
    for source in sources:
        if not source.path.startswith("host/") or source.path == TABLE or source.path.startswith(CONFIG):
            continue
        code = rust_source.without_attributes(source.code)
        for index, token in enumerate(code):
            if token.kind != "string" or not NAME.fullmatch(token.text):
                continue
            if [before.text for before in code[max(0, index - 4) : index]] == KEY:
                continue
            if (source.path, token.text) in OTHER_MEANING:
                met.add((source.path, token.text))
                continue
            place = f"{source.path}:{token.line}: \"{token.text}\" names a stage; take it from the table of stages ({TABLE})"
            places.setdefault(source.path, []).append(place)
    failed = known_faults.report_counts("stage_names", "stage names outside the table", places, KNOWN)
    for path, word in OTHER_MEANING.keys() - met:
        print(f"error: {path} has no literal \"{word}\" left; remove it from OTHER_MEANING in scripts/architecture/stage_names.py")
        failed = 1
    return failed
