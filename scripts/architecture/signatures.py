"""Functions with a tuple pattern as a parameter: the tuple hides arguments from the reader and from the lint that counts them."""

from . import known_faults, rust_source

# Functions that stand for now, by crate. The numbers only ever shrink.
KNOWN = {}


def parameters(code, index):
    """The index of the opening parenthesis of the function whose `fn` is at `index`, and each parameter's first index."""
    index += 2
    if code[index].text == "<":
        depth = 0
        while True:
            depth += (code[index].text == "<") - (code[index].text == ">")
            index += 1
            if depth == 0:
                break
    if code[index].text != "(":
        return
    end, inside, fresh = rust_source.end_of_group(code, index), index + 1, True
    angles = 0
    while inside < end - 1:
        token = code[inside]
        if fresh:
            yield inside
            fresh = False
        if token.kind == "mark" and token.text in rust_source.OPENING:
            inside = rust_source.end_of_group(code, inside)
            continue
        angles += (token.text == "<") - (token.text == ">")
        fresh = token.text == "," and angles == 0
        inside += 1


def functions(sources):
    """(path, crate, code) of all code, that of tests and benches included."""
    for source in sources:
        yield source.path, source.crate, source.code
        yield source.path, source.crate, source.tests
    for folder in ("tests", "benches"):
        for path in sorted((rust_source.ROOT / folder).glob("**/*.rs")):
            yield str(path.relative_to(rust_source.ROOT)), folder, rust_source.tokens(path.read_text(encoding="utf-8"))


def check(sources):
    places = {}
    for path, crate, every in functions(sources):
        code = rust_source.without_attributes(every)
        for index, token in enumerate(code[:-2]):
            if token.text != "fn" or code[index + 1].kind != "word":
                continue
            name, line = code[index + 1].text, token.line
            if any(code[first].text == "(" or [t.text for t in code[first : first + 2]] == ["&", "("] for first in parameters(code, index)):
                fault = f"{path}:{line}: fn {name} takes a tuple apart; give the parameter a small struct with named fields"
                places.setdefault(crate, []).append(fault)
    return known_faults.report_counts("signatures", "functions with a tuple pattern as a parameter", places, KNOWN)
