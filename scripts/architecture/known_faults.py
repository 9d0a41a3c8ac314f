"""Faults found against faults that are known: a new one fails the check, and so does a known one that is gone."""

import sys


def report(check, rule, faults, known=()):
    """Prints what must be done about each fault and returns the exit code. `check` is the module's name; `faults` maps the key that a list of known faults
    holds to the place and the advice."""
    new = {key: place for key, place in faults.items() if key not in known}
    gone = [key for key in known if key not in faults]
    for key, place in new.items():
        print(f"error: {place}", file=sys.stderr)
    for key in gone:
        print(f"error: {rule}: {key!r} is listed as known and is gone; remove it from the known ones in scripts/architecture/{check}.py", file=sys.stderr)
    if not new and not gone:
        print(f"{rule}: none" if not known else f"{rule}: {len(faults)}, all known")
    return 1 if new or gone else 0


def report_counts(check, rule, places, known):
    """The same for faults that are counted: `places` maps a key to the lines to print, `known` maps it to a number that must be exact."""
    failed = False
    for key in sorted({*places, *known}):
        found, allowed = places.get(key, []), known.get(key, 0)
        if len(found) > allowed:
            failed = True
            for place in found:
                print(f"error: {place}", file=sys.stderr)
            print(f"error: {rule}: {key} has {len(found)}, {allowed} were known", file=sys.stderr)
        elif len(found) < allowed:
            failed = True
            left = f"{key!r}: {len(found)}" if found else f"no {key!r}"
            print(f"error: {rule}: fewer than were known; write {left} into the known numbers of scripts/architecture/{check}.py", file=sys.stderr)
    total = sum(map(len, places.values()))
    if not failed:
        print(f"{rule}: {f'{total}, all known' if total else 'none'}")
    return 1 if failed else 0
