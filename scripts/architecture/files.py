"""Files: headers, names that say something, references and links to files that exist, and no build output."""

import pathlib
import re
import subprocess

from . import known_faults, rust_source

EMPTY_NAMES = re.compile(r"(utils?|common|helpers?|managers?|misc)", re.IGNORECASE)
BUILD_OUTPUT = "target"
LARGEST = 8_000_000
# A path in backticks that ends like a file of ours; braces and stars stand for several files and are left alone.
PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]+\.(?:rs|py|md|toml))`")
# A folder in backticks, as ARCHITECTURE.md names them.
FOLDER = re.compile(r"`((?:[\w.-]+/)+)`")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
PAGES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/")
# Files that a comment or ARCHITECTURE.md names and that are not there for now: (file, path). The list only ever shrinks.
KNOWN_PATHS = ()
COMMENT = re.compile(r"^\s*//")


def tracked():
    """Paths of the repository's files, those that are new and not ignored included."""
    command = ["git", "-C", str(rust_source.ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted({path for path in listed if (rust_source.ROOT / path).is_file()})


def read(path):
    return (rust_source.ROOT / path).read_text(encoding="utf-8")


def paths_in(text, path, files):
    """Paths that a text names and that no file has, as a whole or as the end of a longer path."""
    for number, line in enumerate(text.splitlines(), 1):
        if path.endswith(".rs") and not COMMENT.match(line):
            continue
        for named in PATH.findall(line):
            if named not in files and not any(file.endswith("/" + named) for file in files) and not ends_in_crate(named, files):
                yield (path, named), f"{path}:{number}: `{named}` is not in the repository; name the place that is"


def folders_in(text, path, folders):
    for number, line in enumerate(text.splitlines(), 1):
        for named in FOLDER.findall(line):
            if named[:-1] not in folders and not any(folder.endswith("/" + named[:-1]) for folder in folders):
                yield (path, named), f"{path}:{number}: `{named}` is not in the repository; name the place that is"


def ends_in_crate(named, files):
    """`model/weights.rs` for `host/model/src/weights.rs`."""
    crate, _, rest = named.partition("/")
    return any(file.endswith(f"/{crate}/src/{rest}") or file == f"{crate}/src/{rest}" for file in files)


def broken_links(path, files, folders):
    for number, line in enumerate(read(path).splitlines(), 1):
        for target in LINK.findall(line):
            if re.match(r"[a-z]+:", target):
                continue
            place = (rust_source.ROOT / path).parent / target
            inside = str(place.resolve().relative_to(rust_source.ROOT)) if rust_source.ROOT in place.resolve().parents else target
            if inside not in files and inside not in folders:
                yield (path, target), f"{path}:{number}: the link to {target} leads nowhere"


def check(_sources):
    listed = tracked()
    files = set(listed)
    folders = {str(parent) for path in listed for parent in pathlib.PurePath(path).parents}
    headless, empty, missing, heavy = {}, {}, {}, {}
    for path in listed:
        parts = pathlib.PurePath(path).parts
        if any(EMPTY_NAMES.fullmatch(pathlib.PurePath(part).stem) for part in parts):
            empty[path] = f"{path}: the name says nothing of what is inside; name it after its subject"
        if BUILD_OUTPUT in parts or (rust_source.ROOT / path).stat().st_size > LARGEST:
            heavy[path] = f"{path}: build output or larger than {LARGEST // 1_000_000} MB; take it out of the repository and ignore it"
            continue
        if path.endswith(".rs") and not read(path).startswith("//! "):
            headless[path] = f"{path}:1: begin the file with a `//!` line that says what it is"
        if path.endswith(".rs") or path == "ARCHITECTURE.md":
            missing.update(paths_in(read(path), path, files))
        if path == "ARCHITECTURE.md":
            missing.update(folders_in(read(path), path, folders))
        if path.endswith(".md") and path.startswith(PAGES):
            missing.update(broken_links(path, files, folders))
    failed = [
        known_faults.report("files", "files without a header", headless),
        known_faults.report("files", "names of files that say nothing", empty),
        known_faults.report("files", "references to files that are not there", missing, KNOWN_PATHS),
        known_faults.report("files", "build output and large files", heavy),
    ]
    return max(failed)
