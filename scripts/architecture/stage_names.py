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
    ("host/plugins/src/compressor.rs", "compress"): "a method of a plugin",
    ("host/scaleot/src/bench.rs", "train"): "a split of a task",
    ("host/suite/src/report/bars.rs", "bundle"): "a group of bars: the bundle's bytes",
    ("host/suite/src/table.rs", "bundle"): "a column: the bundle's bytes",
    ("host/suite/src/table.rs", "plug-in"): "a column of scores",
}
# Literals that stand for now, by file. The numbers only ever shrink.
KNOWN = {
    "host/pipeline/src/compress/mod.rs": 2,
    "host/pipeline/src/importance/mixture.rs": 2,
    "host/pipeline/src/importance/questions.rs": 3,
    "host/pipeline/src/lib.rs": 1,
    "host/pipeline/src/plug_in/mod.rs": 1,
    "host/pipeline/src/plug_in/verify.rs": 1,
    "host/pipeline/src/report/chart.rs": 2,
    "host/pipeline/src/report/gather.rs": 3,
    "host/pipeline/src/run/columns.rs": 12,
    "host/pipeline/src/run/data_owner.rs": 24,
    "host/pipeline/src/run/owner.rs": 48,
    "host/pipeline/src/run/sharing.rs": 5,
    "host/pipeline/src/run/train.rs": 11,
    "host/pipeline/src/train/mod.rs": 1,
    "host/scaleot/src/bench.rs": 2,
    "host/scaleot/src/estimate.rs": 8,
    "host/scaleot/src/export.rs": 3,
    "host/scaleot/src/needs.rs": 11,
    "host/scaleot/src/plan.rs": 6,
    "host/scaleot/src/plugin/new.rs": 3,
    "host/scaleot/src/stages.rs": 3,
    "host/scaleot/src/verify.rs": 2,
    "host/suite/src/finished.rs": 12,
    "host/suite/src/report/left.rs": 5,
}


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
