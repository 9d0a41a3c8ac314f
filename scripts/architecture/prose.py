"""First words of doc comments, and comments that refer to documents which are not in the repository."""

import re

from . import files, known_faults, rust_source

QUESTION_WORD = re.compile(r"//[/!]\s*(What|Which|How|Where|Who|Whose|Whether)\b")
# Doc comments that begin with such a word, by crate. The numbers only ever shrink; the aim is none.
KNOWN = {}
# Words that point into a document that nobody has: its name, its sections, findings and rules by number.
ABSENT = re.compile(
    r"`reliability`|\breliability(?:, section| list)|\bspecification \(|\bpaper notes\b|\bladder \d|\b(?:finding|R)[ -]?\d+\)|\(P\d\)|\bP\d of section"
)
# Such comments that stand for now, by crate. The numbers only ever shrink.
KNOWN_ABSENT = {}


def crate_of(path, crates):
    return max((crate for crate in crates if path.startswith(crate + "/")), key=len, default=path.split("/")[0])


def question_words(lines, path):
    """Doc comments that begin with a question word; the lines after the first of a comment may."""
    before = ""
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if QUESTION_WORD.match(stripped) and stripped[:3] != before[:3]:
            yield f"{path}:{number}: {stripped[:60]!r} begins with a question word; begin with a noun phrase or a verb in the third person"
        before = stripped


def check(_sources):
    crates = rust_source.crates()
    questions, absent = {}, {}
    for path in files.tracked():
        if not path.endswith(".rs"):
            continue
        crate, lines = crate_of(path, crates), files.read(path).splitlines()
        questions.setdefault(crate, []).extend(question_words(lines, path))
        for number, line in enumerate(lines, 1):
            if files.COMMENT.match(line) and ABSENT.search(line):
                fault = f"{path}:{number}: {line.strip()[:80]!r} refers to a document that is not in the repository; say the rule here"
                absent.setdefault(crate, []).append(fault)
    failed = known_faults.report_counts("prose", "comments on documents that are not there", absent, KNOWN_ABSENT)
    return known_faults.report_counts("prose", "doc comments that begin with a question word", questions, KNOWN) or failed
