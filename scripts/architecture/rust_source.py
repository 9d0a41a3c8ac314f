"""Rust sources of this repository as tokens, test code apart. Read by every check here."""

import pathlib
import re
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# Folders with one crate each.
CRATES = ("host/*", "plugin-api", "plugin-api/*", "plugins/*")
TOKEN = re.compile(
    r"""
      (?P<doc>//[/!](?!/)[^\n]*)
    | (?P<comment>//[^\n]*)
    | (?P<block>/\*)
    | (?P<raw>[bc]?r(?P<hashes>\#*)".*?"(?P=hashes))
    | (?P<string>[bc]?"(?:[^"\\]|\\.)*")
    | (?P<char>b?'(?:[^'\\\n]|\\(?:x[0-9a-fA-F]{2}|u\{[^}]*\}|.))')
    | (?P<lifetime>'[A-Za-z_]\w*)
    | (?P<number>\d\w*(?:\.\d\w*)?)
    | (?P<word>(?:r\#)?[A-Za-z_]\w*)
    | (?P<mark>::|->|=>|[^\s\w])
    """,
    re.VERBOSE | re.DOTALL,
)
OPENING, CLOSING = "([{", ")]}"


class Token(NamedTuple):
    """`kind` is doc, string, char, lifetime, number, word or mark; the text of a string is what stands between its quotes."""

    kind: str
    text: str
    line: int


class Source(NamedTuple):
    """One file: its production code, and apart from it what only tests compile."""

    path: str
    crate: str
    code: list
    tests: list

    @property
    def is_test(self):
        return not self.code

    def words(self):
        return {token.text for token in self.code if token.kind == "word"}


def tokens(text):
    found, position, line = [], 0, 1
    while match := TOKEN.search(text, position):
        line += text.count("\n", position, match.start())
        position, kind, body = match.end(), match.lastgroup, match[0]
        if kind == "block":
            position = end_of_block_comment(text, match.start())
            body = text[match.start() : position]
        elif kind in ("hashes", "raw", "string"):
            inner = body[body.index('"') + 1 : body.rindex('"')]
            found.append(Token("string", inner, line))
        elif kind != "comment":
            found.append(Token(kind, body, line))
        line += body.count("\n")
    return found


def end_of_block_comment(text, start):
    depth, position = 0, start
    for mark in re.finditer(r"/\*|\*/", text[start:]):
        depth += 1 if mark[0] == "/*" else -1
        position = start + mark.end()
        if depth == 0:
            break
    return position


def end_of_group(code, start):
    """The index after the bracket that closes the one at `start`."""
    depth = 0
    for index in range(start, len(code)):
        if code[index].kind == "mark":
            depth += (code[index].text in OPENING) - (code[index].text in CLOSING)
            if depth == 0:
                return index + 1
    return len(code)


def end_of_item(code, start):
    """The index after the item at `start`: its `;` or its closing brace."""
    index = start
    while index < len(code):
        text = code[index].text if code[index].kind == "mark" else ""
        if text == ";" or text == "," or (text and text in CLOSING):
            return index + (text == ";")
        if text and text in OPENING:
            index = end_of_group(code, index)
            if text == "{" and not (index < len(code) and code[index].text in (";", ".", "?", ",")):
                return index
        else:
            index += 1
    return index


def without_tests(code):
    """Production code and test code of a file; modules under `cfg(test)` that are files of their own are known by their names."""
    kept, tests, index = [], [], 0
    while index < len(code):
        if code[index].text == "#" and [token.text for token in code[index + 1 : index + 6]] == ["[", "cfg", "(", "test", ")"]:
            end = end_of_item(code, end_of_group(code, index + 1))
            tests += code[index:end]
            index = end
        else:
            kept.append(code[index])
            index += 1
    return kept, tests


def without_attributes(code):
    kept, index = [], 0
    while index < len(code):
        opening = index + 1 + (index + 1 < len(code) and code[index + 1].text == "!")
        if code[index].text == "#" and opening < len(code) and code[opening].text == "[":
            index = end_of_group(code, opening)
        else:
            kept.append(code[index])
            index += 1
    return kept


def is_test_path(path):
    return "tests" in path.parts or "benches" in path.parts or path.stem == "tests" or path.stem.endswith("_tests")


def crates():
    """Folders of this repository's crates, tests and benches excepted."""
    return sorted(str(folder.relative_to(ROOT)) for glob in CRATES for folder in ROOT.glob(glob) if (folder / "Cargo.toml").is_file())


def sources():
    """Every file of every crate, its own tests included."""
    found = []
    for crate in crates():
        for path in sorted((ROOT / crate).glob("src/**/*.rs")) + sorted((ROOT / crate).glob("tests/**/*.rs")):
            inside = path.relative_to(ROOT)
            code = tokens(path.read_text(encoding="utf-8"))
            code, tests = ([], code) if is_test_path(inside) else without_tests(code)
            found.append(Source(str(inside), crate, code, tests))
    if len(found) < 100:
        raise SystemExit(f"error: expected the workspace's sources below {ROOT}, found {len(found)} files")
    return found
