"""Wheels pinned by hash, fetched once into a cache that outlives a clone. Used by the other scripts here."""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

CACHE = pathlib.Path(os.environ.get("SCALEOT_CACHE") or pathlib.Path.home() / ".cache" / "scaleot").expanduser().resolve()
WHEELS = CACHE / "wheels"
EXIT_REFUSED, EXIT_RESOURCES = 3, 5
START = time.monotonic()


class SetupError(Exception):
    """One sentence for the user, and the exit code that goes with it."""

    def __init__(self, message, code=EXIT_RESOURCES):
        super().__init__(message, code)  # both, so that it survives the way back from a worker process
        self.code = code

    def __str__(self):
        return self.args[0]


def say(message):
    print(f"[{time.monotonic() - START:5.1f}s] {message}", flush=True)


def run(main):
    """Turns a SetupError into its sentence and code; anything else is a bug and keeps its traceback."""
    try:
        sys.exit(main())
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.code)
    except KeyboardInterrupt:
        print("error: interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)


def digest(*parts):
    h = hashlib.sha256()
    for part in parts:
        h.update(part if isinstance(part, bytes) else part.read_bytes())
    return h.hexdigest()


def file_sha256(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


@contextlib.contextmanager
def locked(folder):
    """One set-up at a time in `folder`; a second one waits and then finds the work done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / ".lock", "w")
    except OSError as error:
        raise SetupError(f"cannot write in {folder}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another set-up in {folder}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def scratch(folder):
    """A temporary folder inside `folder`; call it under `locked`, which makes older leftovers safe to remove."""
    for old in folder.glob(".tmp-*"):
        shutil.rmtree(old, ignore_errors=True)
    tmp = pathlib.Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder))
    try:
        yield tmp
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


def put(new, place):
    """Moves `new` to `place`, whatever was there before; a crash leaves either the old or the new."""
    aside = new.parent / f"old-{place.name}"
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink() or place.exists():
        place.rename(aside)
    new.rename(place)


def need_room(folder, megabytes):
    free = shutil.disk_usage(folder).free // 1_000_000
    if free < megabytes:
        raise SetupError(f"{folder} has {free} MB free, {megabytes} MB are needed; free some space and run this again.")


def pip(arguments, what, again, python=sys.executable):
    """Runs pip with its own progress bar when someone watches; its failures become one sentence."""
    watched = sys.stderr.isatty()
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    if not watched:
        command.append("-q")
    done = subprocess.run(command, stderr=subprocess.PIPE, stdout=None if watched else subprocess.PIPE, text=True)
    if done.returncode == 0:
        return
    text = done.stderr or ""
    if "No module named pip" in text:
        raise SetupError(f"{python} has no pip; install it (Debian: python3-pip) and run `{again}` again.")
    if "DO NOT MATCH THE HASHES" in text or "HashMismatch" in text:
        raise SetupError(f"{what} is not the pinned file (its sha256 differs), so it was not used.", EXIT_REFUSED)
    if "No space left" in text:
        raise SetupError(f"the disk is full while fetching {what}; free some space and run `{again}` again.")
    lines = [l.strip() for l in text.splitlines() if l.startswith("ERROR:")] or text.strip().splitlines() or ["no message"]
    offline = re.search(r"NewConnectionError|NameResolutionError|ConnectTimeout|Connection (to|broken|refused|reset)|Read timed out|ProxyError|SSLError", text)
    why = "the package index cannot be reached" if offline else "pip said: " + lines[0].removeprefix("ERROR: ")[:300]
    raise SetupError(f"could not fetch {what}: {why}. Check the network (or PIP_INDEX_URL) and run `{again}` again; what was fetched is kept.")


def pins(requirements):
    """(name, version, hashes) of each line `name==version --hash=sha256:…`."""
    text = requirements.read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if found := re.match(r"([A-Za-z0-9._-]+)==(\S+)\s", line):
            yield found[1], found[2], set(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))


def fetch(requirements, again, pip_options=()):
    """The wheels of `requirements`, from the cache or through pip; one that is there with the right hash is not fetched again."""
    found = []
    with locked(WHEELS):
        for name, version, hashes in pins(requirements):
            stem = f"{re.sub(r'[-_.]+', '_', name).lower()}-{version}-*.whl"
            wheel = None
            for candidate in WHEELS.glob(stem):
                if file_sha256(candidate) in hashes:
                    wheel = candidate
                else:
                    candidate.unlink()
            if wheel:
                say(f"{name} {version}: in the cache")
            else:
                say(f"{name} {version}: fetching")
                with scratch(WHEELS) as tmp:
                    one = tmp / "requirement.txt"
                    one.write_text(f"{name}=={version} " + " ".join(f"--hash=sha256:{h}" for h in sorted(hashes)) + "\n")
                    pip(["download", "--no-deps", "--require-hashes", "--no-cache-dir", "--only-binary=:all:", *pip_options, "-d", str(tmp), "-r", str(one)], f"{name} {version}", again)
                    (new,) = tmp.glob("*.whl")
                    wheel = WHEELS / new.name
                    new.replace(wheel)
            found.append(wheel)
    return found


def tools(requirements, again):
    """A private folder holding the packages of `requirements`, for this Python; made once, put on sys.path."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    home = CACHE / "tools"
    place = home / f"{tag}-{digest(requirements)[:16]}"
    with locked(home):
        if not place.exists():
            say("conversion tools: installing apart from your Python")
            with scratch(home) as tmp:
                pip(["install", "--no-deps", "--require-hashes", "--only-binary=:all:", "--no-warn-script-location", "--target", str(tmp / "out"), "-r", str(requirements)], "the conversion tools", again)
                put(tmp / "out", place)
    sys.path.insert(0, str(place))
    return place
