"""Public items of the libraries that nothing outside their own file names, or nothing but tests; and dependencies without a use.

Names are compared as words, so an item hides behind another of the same name; a re-export is no use. A type that a public
signature of its own file mentions is used through that.
"""

import json
import pathlib
import re
import subprocess

from . import known_faults, rust_source

# The program is no library: there the compiler itself finds what nobody uses.
PROGRAM = "host/scaleot"
# The contract is for authors outside: a use in its documents or in a test of a plugin counts.
CONTRACT = ("plugin-api", "plugins/")
KINDS = {"fn", "struct", "enum", "trait", "type", "const", "static", "union"}
TYPES = {"struct", "enum", "trait", "type", "union"}
PREFIXES = {"const", "unsafe", "async", "extern"}
# Items that stay although no word names them: (crate, name) and why.
ALLOWED = {
    ("host/data", "from_tokens"): "tests of the crates above make text without a tokenizer",
    ("host/model", "logits"): "tests compare logits with those of other programs",
    ("plugin-api", "BatchMean"): "for estimators that keep more than a mean",
    ("plugin-api", "cut_ranks"): "for compressors that choose each matrix's rank themselves",
}
# Items that stand for now: (crate, name). The list only ever shrinks.
KNOWN = ()
# Used without its name standing in the sources: (folder of the manifest, dependency) and why.
ALLOWED_DEPENDENCIES = {}
OWN_WORKSPACES = ("plugins/adaround/Cargo.toml",)
KNOWN_DEPENDENCIES = ()


def public_items(code):
    """(kind, name, line) of each item that is `pub` without a restriction."""
    for index, token in enumerate(code[:-2]):
        if token.text != "pub" or code[index + 1].text == "(":
            continue
        index += 1
        while code[index].text in PREFIXES and code[index + 1].text != ":" and code[index + 1].kind in ("word", "string"):
            if code[index].text == "const" and code[index + 1].text not in KINDS | PREFIXES:
                break
            index += 1
        if code[index].text in KINDS and code[index + 1].kind == "word":
            yield code[index].text, code[index + 1].text, code[index].line


def signature_words(code):
    """Words of what a file lets others see: heads of public items, of traits and their impls, bodies of public enums and traits."""
    words = set()
    for index, token in enumerate(code):
        if token.kind != "word" or token.text not in ("pub", "impl"):
            continue
        kind = code[index + 1].text if index + 1 < len(code) else ""
        own = code[index + 2].text if kind in KINDS and index + 2 < len(code) else None
        end, angles = index + 1, 0
        while end < len(code) and code[end].text not in ("{", ";", "}", "="):
            angles += (code[end].text == "<") - (code[end].text == ">")
            if code[end].text == "," and angles <= 0:
                break
            end = rust_source.end_of_group(code, end) if code[end].text in ("(", "[") else end + 1
        if kind in ("enum", "trait") and end < len(code) and code[end].text == "{":
            end = rust_source.end_of_group(code, end)
        head = [near.text for near in code[index + 1 : end] if near.kind == "word"]
        if token.text == "impl":
            # The trait and its parameters; the type itself is not used by having an impl.
            head = head[: head.index("for")] if "for" in head else []
            body = code[end : rust_source.end_of_group(code, end)] if end < len(code) and code[end].text == "{" else []
            words |= {body[at + 3].text for at, near in enumerate(body[:-3]) if near.text == "type" and body[at + 2].text == "="}
        words |= set(head) - {own}
    return words


def without_reexports(code):
    kept, index = [], 0
    while index < len(code):
        if code[index].text == "use" and index and code[index - 1].text == "pub":
            while code[index].text != ";":
                index += 1
        kept.append(code[index])
        index += 1
    return kept


def words(tokens):
    """Words in use: a declaration of the same name, a variable or a field is no use of a function, so these count for other items only."""
    used = set()
    for index, token in enumerate(tokens):
        if token.kind == "string":
            # An attribute may name a type or a function by its path: `#[schemars(with = "crate::Schema")]`.
            used |= {form for name in re.findall(r"::(\w+)", token.text) for form in (name, f"{name}()")}
        if token.kind != "word":
            continue
        before = tokens[index - 1].text if index else ""
        after = tokens[index + 1].text if index + 1 < len(tokens) else ""
        used.add(token.text)
        if before != "fn" and (before in (".", "::", "{", ",", "use") or after in ("::", "(", ")", "!")):
            used.add(f"{token.text}()")
    return used


def other_uses():
    """Words of the workspace's tests, benches and documents, which belong to no crate of the list."""
    tests, documents = set(), set()
    for folder in ("tests", "benches"):
        for path in (rust_source.ROOT / folder).rglob("*.rs"):
            tests |= words(rust_source.tokens(path.read_text(encoding="utf-8")))
    for path in (rust_source.ROOT / "docs").rglob("*.md"):
        documents |= set(re.findall(r"\w+", path.read_text(encoding="utf-8")))
    return tests, documents


def unused_items(sources):
    tests, documents = other_uses()
    users = {}
    for source in sources:
        for name in words(without_reexports(source.code)):
            users.setdefault(name, set()).add(source.path)
        tests |= words(source.tests)
    for source in sources:
        if source.crate == PROGRAM or source.is_test:
            continue
        seen = signature_words(source.code)
        for kind, name, line in public_items(source.code):
            contract = source.crate.startswith(CONTRACT)
            use = f"{name}()" if kind == "fn" else name
            if users.get(use, set()) - {source.path} or (kind in TYPES and name in seen) or (source.crate, name) in ALLOWED:
                continue
            if contract and (name in documents or use in tests):
                continue
            who = "only tests name" if use in tests else "nothing outside its file names"
            yield (source.crate, name), f"{source.path}:{line}: {who} {kind} {name}; delete it, or make it private or pub(crate)"


def packages():
    """(folder, package) of the workspace and of the plugin that is a workspace of its own."""
    for manifest in ("Cargo.toml", *OWN_WORKSPACES):
        command = ["cargo", "metadata", "--format-version=1", "--no-deps", "--manifest-path", str(rust_source.ROOT / manifest)]
        listed = subprocess.run(command, capture_output=True, text=True)
        if listed.returncode != 0:
            raise SystemExit(f"error: cargo metadata failed: {listed.stderr.strip()}")
        for package in json.loads(listed.stdout)["packages"]:
            yield pathlib.Path(package["manifest_path"]).parent, package


def library_names(package):
    return {target["name"].replace("-", "_") for target in package["targets"] if {"lib", "rlib", "cdylib"} & set(target["kind"])}


def named_below(folder):
    """Words of a crate's code and paths in its doc comments; not of a crate in a folder inside it."""
    named = set()
    for path in folder.rglob("*.rs"):
        between = [parent for parent in path.parents if folder in parent.parents]
        if "target" not in path.parts and not any((parent / "Cargo.toml").is_file() for parent in between):
            for token in rust_source.tokens(path.read_text(encoding="utf-8")):
                named |= set(re.findall(r"(\w+)::", token.text)) if token.kind in ("doc", "string") else {token.text}
    return named


def unused_dependencies():
    known = list(packages())
    libraries = {package["name"]: library_names(package) for _, package in known}
    wanted = set()
    for path, package in known:
        folder, named = str(path.relative_to(rust_source.ROOT)), named_below(path)
        for dependency in package["dependencies"]:
            name = dependency["name"]
            wanted.add(name)
            words_for = {(dependency["rename"] or name).replace("-", "_"), *libraries.get(name, ())}
            if name != package["name"] and not words_for & named and (folder, name) not in ALLOWED_DEPENDENCIES:
                place = f"{folder}/Cargo.toml: nothing in {folder} names {name}; remove it from [{dependency['kind'] or ''}{'-' if dependency['kind'] else ''}dependencies]"
                yield (folder, name), place
    section = (rust_source.ROOT / "Cargo.toml").read_text(encoding="utf-8").split("[workspace.dependencies]")[1].split("\n[")[0]
    for name in re.findall(r"^([\w-]+) *=", section, re.MULTILINE):
        if name not in wanted:
            yield ("", name), f"Cargo.toml: no member depends on {name}; remove it from [workspace.dependencies]"


def check(sources):
    items = dict(unused_items(sources))
    failed = known_faults.report("public_items", "public items that nobody uses", items, KNOWN)
    return known_faults.report("public_items", "dependencies without a use", dict(unused_dependencies()), KNOWN_DEPENDENCIES) or failed
