"""On an app machine, as root: installed releases, and which of their files are not as they were installed.

Arguments: the releases to look at, each of which takes a second.

Prints one line of JSON: `{"releases": {name: {...}}, "slots": {name: release}, "active": slot}`. Needs nothing but
Python: a release that is damaged may not start its own.
"""

import base64
import csv
import hashlib
import json
import os
import sys
from pathlib import Path

HOME = Path("/srv/search-api")
MOST_NAMED = 5


def look(place: Path) -> dict[str, object]:
    """One installed release."""
    return {"manifest": _manifest(place), **_files(place), "wheels": _wheels(place)}


def _manifest(place: Path) -> str:
    """What is wrong with the manifest; empty when it is sound and names this release."""
    try:
        manifest = json.loads((place / "manifest.json").read_text())
        files = manifest["files"]
        lines = "".join(f"{files[name]}  {name}\n" for name in sorted(files))
        name = f"{manifest['version']}-{manifest['digest'][:12]}"
    except (OSError, ValueError, KeyError, TypeError) as wrong:
        return f"cannot be used ({wrong!r})"
    if hashlib.sha256(lines.encode()).hexdigest() != manifest["digest"]:
        return "its digest is not that of its files"
    return "" if name == place.name else f"is of {name}"


def _files(place: Path) -> dict[str, object]:
    """Every installed file against the hash that its package recorded for it."""
    count, wrong, packages = 0, [], 0
    for record in place.glob("venv/lib/python*/site-packages/*.dist-info/RECORD"):
        packages += 1
        root = record.parents[1]
        for name, recorded, _ in csv.reader(record.read_text().splitlines()):
            if not recorded.startswith("sha256="):
                continue
            count += 1
            if _digest(root / name) != recorded.removeprefix("sha256="):
                wrong.append(os.path.relpath(root / name, place))
    return {"packages": packages, "files": count, "damaged": len(wrong), "named": sorted(wrong)[:MOST_NAMED]}


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return (
                base64.urlsafe_b64encode(hashlib.file_digest(file, "sha256").digest()).rstrip(b"=").decode()
            )
    except OSError as gone:
        return type(gone).__name__


def _wheels(place: Path) -> list[str]:
    """Wheels that are kept for it and differ from its manifest."""
    try:
        files = json.loads((place / "manifest.json").read_text())["files"]
    except (OSError, ValueError, KeyError):
        return []
    wrong = []
    for name, expected in files.items():
        wheel = HOME / "wheels" / Path(name).name
        if name.startswith("wheelhouse/") and wheel.is_file():
            with wheel.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                    wrong.append(wheel.name)
    return wrong


def main() -> None:
    """Look at what the slots point at, and name everything that is installed."""
    slots = {}
    for name in ("blue", "green"):
        link = HOME / "slots" / name
        slots[name] = link.readlink().name if link.is_symlink() else ""
    installed = sorted(path.parent.name for path in (HOME / "releases").glob("[!.]*/manifest.json"))
    wanted = sorted({name for name in sys.argv[1:] if name in installed})
    active = HOME / "active"
    seen = {name: look(HOME / "releases" / name) for name in wanted}
    print(
        json.dumps(
            {
                "releases": seen,
                "installed": installed,
                "slots": slots,
                "active": str(active.readlink()) if active.is_symlink() else "",
            }
        )
    )


if __name__ == "__main__":
    main()
