#!/usr/bin/env python3
"""Write docs/reference/config.md and docs/reference/cli.md from the program itself, or check that they are current.

  scripts/make-reference.py                   write both pages
  scripts/make-reference.py --check           fail where a page differs from what the program says
  scripts/make-reference.py --program FILE    ask another build than target/release/scaleot or target/debug/scaleot

Keys, ranges and meanings come from `scaleot config schema`, the order and the defaults from configs/reference.toml,
commands and options from `--help`. Only parties and units stand here, since nothing else states them.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "configs" / "reference.toml"
PAGES = ROOT / "docs" / "reference"

OWNER, DATA_OWNER, BOTH = "model owner", "data owner", "both"
# The party whose commands read a section.
PARTIES = {
    "model": OWNER,
    "runtime": BOTH,
    "plugins": BOTH,
    "data": DATA_OWNER + " (`folder`: both)",
    "public_data": OWNER,
    "importance": OWNER,
    "replace": OWNER,
    "train": OWNER,
    "compress": OWNER,
    "adapter": OWNER,
    "bundle": OWNER,
    "tune": DATA_OWNER,
    "plug_in": OWNER,
    "full_tuning": OWNER,
    "evaluate": BOTH,
}
# The unit of every number, by section and key, else by key.
UNITS = {
    "version": "",
    "seed": "",
    "threads": "threads",
    "call_timeout_s": "seconds",
    "train_limit": "samples",
    "validation_limit": "samples",
    "block_length": "tokens",
    "batch_tokens": "tokens",
    "importance.batch_size": "windows",
    "train.batch_size": "windows",
    "batch_size": "samples",
    "held_out_batch_size": "windows",
    "checkpoint_every": "steps",
    "evaluate_every": "steps",
    "steps": "steps",
    "warmup_steps": "steps",
    "epochs": "passes over the data",
    "accumulation": "forward passes",
    "ratio": "share, 0 to 1",
    "count": "layers",
    "layers": "layers",
    "limit": "samples",
    "learning_rate": "",
    "weight_decay": "",
    "epsilon": "",
    "clip_norm": "",
    "max_delta_ratio": "ratio of norms",
}

GENERATED = "<!-- Written by scripts/make-reference.py; change the program, not this page. -->"


def fail(message):
    sys.exit(f"error: {message}")


def ask(program, *arguments):
    # Without a terminal on any stream: help texts are wrapped to its width.
    done = subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        fail(f"{program} {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def cell(text):
    """Text that may stand in a table's cell."""
    return " ".join(text.split()).replace("|", r"\|")


def argument(text):
    """Help text in Markdown: <ARGUMENT> outside of code would be read as a tag."""
    return re.sub(r"<[A-Z_-]+>", lambda found: f"`{found[0]}`", cell(text))


# --- the config ----------------------------------------------------------------------------------


def keys_in_order():
    """(section, key) in the order of the reference config, those without a default included, and those it calls required.

    The section of a key at the top is empty.
    """
    section, found, required, comment = "", [], set(), ""
    for line in REFERENCE.read_text(encoding="utf-8").splitlines():
        if header := re.fullmatch(r"(?:# )?\[([a-z_]+)\]", line):
            section = header[1]
        elif key := re.match(r"(?:# )?([a-z_]+) = ", line):
            if (section, key[1]) not in found:
                found.append((section, key[1]))
            if comment.endswith("required."):
                required.add((section, key[1]))
        comment = line
    return found, required


def default_of(defaults, required, section, key, schema):
    if (section, key) in required:
        return "required"
    values = defaults.get(section, {}) if section else defaults
    if key not in values and schema.get("default") is None:
        return ""
    value = values.get(key, schema.get("default"))
    if isinstance(value, float) and 0 < value < 1e-3:
        return f"`{value:.0e}`".replace("e-0", "e-")
    if isinstance(value, dict):
        return "`{}`" if not value else f"`{value}`"
    return f"`{json.dumps(value)}`"


def choices_of(schema):
    if "enum" in schema:
        return [(value, "") for value in schema["enum"]]
    return [(choice["const"], choice.get("description", "")) for choice in schema.get("oneOf", []) if "const" in choice]


def meaning_of(schema):
    text = schema.get("description", "").strip()
    choices = choices_of(schema) or choices_of(schema.get("items", {}))
    if choices:
        said = [f'`"{value}"`' + (f" ({about.rstrip('.').lower()})" if about else "") for value, about in choices]
        text += " One of " + ", ".join(said) + "."
    return cell(text)


def type_of(schema):
    kinds = schema.get("type", "string")
    kinds = [kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null"]
    names = {"integer": "integer", "number": "number", "boolean": "true or false", "string": "text", "object": "table"}
    if kinds == ["array"]:
        items = schema.get("items", {}).get("type", "string")
        length = schema.get("maxItems") if schema.get("maxItems") == schema.get("minItems") else None
        return f"{length or 'list of'} {names.get(items, 'text')}{'s' if names.get(items) == 'number' else ''}"
    return names[kinds[0]]


def range_of(schema):
    low, above, high = (schema.get(bound) for bound in ("minimum", "exclusiveMinimum", "maximum"))
    if low == 0 and schema.get("format", "").startswith("uint"):
        low = None
    said = [f"from {low}"] if low is not None else [f"above {above}"] if above is not None else []
    # The largest numbers are guards against nonsense and say nothing to a reader.
    if high is not None and high <= 1 and high != low:
        said.append(f"to {high}")
    return " ".join(said)


def unit_of(section, key, schema):
    kinds = schema.get("type", "")
    if not {"integer", "number"} & set([kinds] if isinstance(kinds, str) else kinds):
        return ""
    for name in (f"{section}.{key}", key):
        if name in UNITS:
            return UNITS[name]
    return fail(f"scripts/make-reference.py: no unit is stated for `{section}.{key}`")


def row(section, key, schema, default):
    unit, bounds = unit_of(section, key, schema), range_of(schema)
    # A unit may say the range already.
    extra = ", ".join(part for part in (unit, "" if "share" in unit else bounds) if part)
    kind = type_of(schema) + (f"; {extra}" if extra else "")
    return f"| `{key}` | {kind} | {default or '–'} | {meaning_of(schema)} |"


def config_page(program):
    properties = json.loads(ask(program, "config", "schema"))["properties"]
    defaults = tomllib.loads(REFERENCE.read_text(encoding="utf-8"))
    order, required = keys_in_order()
    listed = {(section, key) for section, key in order}
    tables = {section: schema["properties"] for section, schema in properties.items() if "properties" in schema}
    known = {("", key) for key in properties if key not in tables}
    known |= {(section, key) for section, keys in tables.items() for key in keys}
    if missing := sorted(known - listed):
        fail(f"configs/reference.toml does not name {', '.join('.'.join(name).lstrip('.') for name in missing)}")
    if unknown := sorted(listed - known):
        fail(f"the program does not know {', '.join('.'.join(name).lstrip('.') for name in unknown)}")
    head = "| key | value | default | meaning |\n|---|---|---|---|"
    lines = [
        "# Config reference",
        "",
        GENERATED,
        "",
        "A run config is a TOML file. It states only what differs from the defaults on this page,",
        "which are those of [`configs/reference.toml`](../../configs/reference.toml).",
        "`–` means that a key has no default: what it stands for is off, or left open, until it is set.",
        "",
        "- Any key can be set on the command line: `scaleot run CONFIG tune.learning_rate=1e-4`.",
        "- `scaleot config validate CONFIG` checks a config, `scaleot config show CONFIG` prints it with every default.",
        "- A key that does not exist is refused with the nearest name; a key without effect is reported.",
        "",
        "| section | read by | content |",
        "|---|---|---|",
    ]
    sections = list(dict.fromkeys(section for section, _ in order if section))
    for section in sections:
        if section not in PARTIES:
            fail(f"scripts/make-reference.py: no party is stated for [{section}]")
        lines.append(f"| [`[{section}]`](#{section}) | {PARTIES[section]} | {cell(properties[section]['description'])} |")
    lines += ["", "## Top level", "", "Read by both parties.", "", head]
    lines += [row("", key, properties[key], default_of(defaults, required, "", key, properties[key])) for section, key in order if not section]
    for section in sections:
        lines += ["", f"## {section}", "", f"{cell(properties[section]['description'])} Read by: {PARTIES[section]}.", "", head]
        keys = [key for of, key in order if of == section]
        lines += [row(section, key, tables[section][key], default_of(defaults, required, section, key, tables[section][key])) for key in keys]
    return "\n".join(lines) + "\n"


# --- the command line ----------------------------------------------------------------------------


def sections_of(text):
    """The parts of a help text: before the first heading, then by heading."""
    parts, name = {"": []}, ""
    for line in text.splitlines():
        if heading := re.match(r"(Usage|Commands|Arguments|Options|Exit status):(.*)", line):
            name = heading[1]
            parts[name] = [heading[2]] if heading[2].strip() else []
        else:
            parts[name].append(line)
    return parts


def entries_of(lines):
    """(name, meaning) of each argument, option or command of a help text's section, one line or several each."""
    entries = []
    for line in lines:
        if not line.strip():
            continue
        depth = len(line) - len(line.lstrip())
        starts = depth <= 6 and re.match(r"\s+(-|<|\[|[a-z])", line) and not re.match(r"\s+- ", line)
        if starts and (depth <= 2 or line.lstrip().startswith("--")):
            name, _, meaning = line.strip().partition("  ")
            entries.append([name, [meaning.strip()]])
        elif entries:
            entries[-1][1].append(line.strip())
    return [(name, sentence(words)) for name, words in entries]


def sentence(lines):
    """The lines of a meaning as one: a list of possible values becomes a part of it."""
    text = " ".join(line for line in lines if line)
    before, found, values = text.partition(" Possible values: - ")
    return f"{before}. Possible values: {values.replace(' - ', '; ')}" if found else text


def table(entries, heads):
    lines = [f"| {heads[0]} | {heads[1]} |", "|---|---|"]
    return lines + [f"| `{cell(name)}` | {argument(meaning)} |" for name, meaning in entries]


def command(program, path, common):
    """The page's lines for one command, and for those below it."""
    parts = sections_of(ask(program, *path, "--help"))
    about = [line.strip() for line in parts[""] if line.strip()]
    usage = [line.strip() for line in parts["Usage"] if line.strip()]
    lines = ["", f"{'#' * (len(path) + 1)} {' '.join(path)}", "", argument(" ".join(about)), "", "```text", *usage, "```"]
    if arguments := entries_of(parts.get("Arguments", [])):
        lines += ["", *table(arguments, ("argument", "meaning"))]
    own = [entry for entry in entries_of(parts.get("Options", [])) if entry[0].split(",")[-1].split()[0] not in common]
    if own:
        lines += ["", *table(own, ("option", "meaning"))]
    for name, _ in entries_of(parts.get("Commands", [])):
        if name != "help":
            lines += command(program, [*path, name], common)
    return lines


def cli_page(program):
    parts = sections_of(ask(program, "--help"))
    options = entries_of(parts["Options"])
    common = {name.split(",")[-1].split()[0] for name, _ in options}
    names = [entry for entry in entries_of(parts["Commands"]) if entry[0] != "help"]
    lines = [
        "# Command reference",
        "",
        GENERATED,
        "",
        "```text",
        "scaleot [OPTIONS] <COMMAND>",
        "```",
        "",
        "| command | purpose |",
        "|---|---|",
        *(f"| [`{name}`](#{name}) | {argument(meaning)} |" for name, meaning in names),
        "",
        "## Options of every command",
        "",
        *table(options, ("option", "meaning")),
        "",
        "## Exit status",
        "",
        "| status | meaning |",
        "|---|---|",
    ]
    for status in re.findall(r"(\d+) ([^,]+(?:\([^)]*\))?)(?:,|$)", " ".join(" ".join(parts["Exit status"]).split())):
        lines.append(f"| {status[0]} | {cell(status[1])} |")
    for name, _ in names:
        lines += command(program, [name], common)
    return "\n".join(lines) + "\n"


def built_program():
    for profile in ("release", "debug"):
        if (program := ROOT / "target" / profile / "scaleot").is_file():
            return str(program)
    return fail("no target/release/scaleot and no target/debug/scaleot; build it, or name one with --program")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail where a page is not current")
    parser.add_argument("--program", help="the scaleot program to ask")
    arguments = parser.parse_args()
    program = arguments.program or built_program()
    pages = {PAGES / "config.md": config_page(program), PAGES / "cli.md": cli_page(program)}
    if arguments.check:
        stale = [page for page, text in pages.items() if not page.is_file() or page.read_text(encoding="utf-8") != text]
        if stale:
            names = ", ".join(str(page.relative_to(ROOT)) for page in stale)
            fail(f"{names}: not what the program says; run scripts/make-reference.py")
        return
    PAGES.mkdir(parents=True, exist_ok=True)
    for page, text in pages.items():
        page.write_text(text, encoding="utf-8")


main()
