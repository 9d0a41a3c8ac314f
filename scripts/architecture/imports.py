"""Import circles inside each crate, and imports from one stage to another.

At each level of the module tree, what lies below one child counts as that child. A circle of children is a fault at the crate's
root; deeper, among the files of one folder, it is natural, and a fault only where a folder is part of it.
"""

import pathlib

from . import known_faults, rust_source

# Circles that stand for now. The list only ever shrinks.
KNOWN = ()
# Imports from one stage to another that stand for now: (importer, imported).
KNOWN_STAGES = ()
PIPELINE = "host/pipeline"
STAGES = "stages"
KEYWORDS = {"crate", "self", "super"}
ITEMS = {"fn", "struct", "enum", "trait", "type", "const", "static", "union", "macro_rules"}


def module_of(source):
    parts = pathlib.PurePath(source.path).relative_to(source.crate + "/src").with_suffix("").parts
    return parts[:-1] if parts[-1] in ("lib", "main", "mod") else parts


def use_leaves(code, index, prefix=()):
    """(path, name, line) of each leaf of the use tree at `index`, then the index after it."""
    path, name, line, leaves = list(prefix), None, code[index].line, []
    while index < len(code) and code[index].text not in (";", ",", "}"):
        token = code[index]
        if token.text == "{":
            index += 1
            while code[index].text != "}":
                inner, index = use_leaves(code, index, tuple(path))
                leaves += inner
                index += code[index].text == ","
            return leaves, index + 1
        if token.text == "as":
            name = code[index + 1].text
            index += 1
        elif token.kind == "word" or token.text == "*":
            path.append(token.text)
            line = token.line
        index += 1
    if path and path[-1] == "self" and len(path) > 1:
        path.pop()
    return [(tuple(path), name or path[-1], line)] if path else [], index


class Module:
    """What a file declares, what it re-exports or imports (name to path), and every path it names."""

    def __init__(self, source):
        self.source, self.name = source, module_of(source)
        self.items, self.uses, self.paths = set(), {}, []
        code = rust_source.without_attributes(source.code)
        index = 0
        while index < len(code):
            token, following = code[index], code[index + 1] if index + 1 < len(code) else None
            if token.text == "use" and following and following.kind == "word":
                public = index > 0 and code[index - 1].text in ("pub", ")")
                leaves, index = use_leaves(code, index + 1)
                for path, name, line in leaves:
                    self.uses[name] = path
                    self.paths.append((path, line, public))
            elif token.kind == "word" and following and following.text == "::":
                path, line = [token.text], token.line
                while index + 2 < len(code) and code[index + 1].text == "::" and code[index + 2].kind == "word":
                    index += 2
                    path.append(code[index].text)
                if len(path) > 1:
                    self.paths.append((tuple(path), line, False))
                index += 1
            else:
                if token.text in ITEMS and following and following.kind == "word":
                    self.items.add(following.text)
                elif token.text == "macro_rules" and index + 2 < len(code):
                    self.items.add(code[index + 2].text)
                index += 1


def resolve(modules, module, path, seen=frozenset()):
    """The module whose file declares what `path` names, seen from `module`; none where it is another crate's or unknown."""
    here, rest = module.name, list(path)
    if rest[0] == "crate":
        here, rest = (), rest[1:]
    elif rest[0] in ("self", "super"):
        while rest and rest[0] in ("self", "super"):
            here = here[:-1] if rest[0] == "super" else here
            rest = rest[1:]
    elif rest[0] not in module.items and rest[0] not in module.uses and (*here, rest[0]) not in modules:
        return None
    while rest:
        if (*here, rest[0]) in modules:
            here, rest = (*here, rest[0]), rest[1:]
            continue
        owner = modules.get(here)
        if owner is None:
            return None
        if rest[0] in owner.uses and (here, rest[0]) not in seen and rest[0] not in owner.items:
            onward = (*owner.uses[rest[0]], *rest[1:])
            if onward[0] not in KEYWORDS and (*here, onward[0]) not in modules and onward[0] not in owner.uses:
                return None
            return resolve(modules, owner, onward, seen | {(here, rest[0])})
        return here
    return here


def edges_of(modules):
    """(importer, imported) to the first line that says so. A parent's re-export of its child is no import."""
    edges = {}
    for module in modules.values():
        for path, line, public in module.paths:
            target = resolve(modules, module, path)
            if target is None or target == module.name or (public and target[: len(module.name)] == module.name):
                continue
            edges.setdefault((module.name, target), f"{module.source.path}:{line}")
    return edges


def circles(arrows):
    """Strongly connected sets of more than one node."""
    reach = {}
    for start in {node for arrow in arrows for node in arrow}:
        reached, waiting = set(), [start]
        while waiting:
            node = waiting.pop()
            for following in (b for a, b in arrows if a == node and b not in reached):
                reached.add(following)
                waiting.append(following)
        reach[start] = reached
    return {frozenset(other for other in reach[node] if node in reach[other]) for node in reach if node in reach[node]}


def crate_circles(crate, modules, edges):
    folders = {module[:depth] for module in modules for depth in range(len(module))}
    for level in folders | {()}:
        depth = len(level)
        arrows = {}
        for (importer, imported), place in edges.items():
            if importer[:depth] != level or imported[:depth] != level:
                continue
            pair = tuple(name[depth] if len(name) > depth else "" for name in (importer, imported))
            if pair[0] != pair[1]:
                arrows.setdefault(pair, place)
        for circle in circles(set(arrows)):
            if depth and not any((*level, child) in folders for child in circle):
                continue
            prefix = "/".join((crate, *level))
            key = f"{prefix}: {' <-> '.join(sorted(child or 'the root' for child in circle))}"
            witnesses = "".join(
                f"\n  {place}: {a or 'the root'} imports {b or 'the root'}" for (a, b), place in sorted(arrows.items()) if {a, b} <= circle
            )
            yield key, f"import circle in {key}; move what both need to a place below both{witnesses}"


def stage_imports(modules, edges):
    stages = {name[1] for name in modules if len(name) > 1 and name[0] == STAGES}
    if not stages:
        yield STAGES, f"{PIPELINE}/src/{STAGES} has no stage; this check does not know where the stages are"
    for (importer, imported), place in sorted(edges.items()):
        if importer[:1] == imported[:1] == (STAGES,) and len(imported) > 1 and len(importer) > 1 and importer[1] != imported[1]:
            key = (importer[1], imported[1])
            yield key, f"{place}: stage {key[0]} imports stage {key[1]}; what passes between stages is an artefact, what both need lies outside {STAGES}/"


def check(sources):
    found, stages = {}, {}
    for crate in sorted({source.crate for source in sources}):
        inside = [source for source in sources if source.crate == crate and source.path.startswith(crate + "/src/") and not source.is_test]
        modules = {module.name: module for module in map(Module, inside)}
        edges = edges_of(modules)
        found.update(crate_circles(crate, modules, edges))
        if crate == PIPELINE:
            for key, fault in stage_imports(modules, edges):
                stages.setdefault(key, fault)
    circle = known_faults.report("imports", "import circles", found, KNOWN)
    return known_faults.report("imports", "imports between stages", stages, KNOWN_STAGES) or circle
