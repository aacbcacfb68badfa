"""The locked requirements: every package with its exact version, and which of them we asked for ourselves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from checks.gate import CouldNotLook

REQUIREMENTS = "requirements"
_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==(?P<version>[^\s;\\]+)")
_ASKED = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?P<extras>\[[^]]*\])?")


@dataclass(frozen=True)
class Lock:
    """One audience's lock: `direct` are the names asked for (with extras), `versions` every locked version by name."""

    name: str
    direct: dict[str, str]
    versions: dict[str, Version]


def read_locks(source: Path) -> list[Lock]:
    """Every lock of the source. Raises CouldNotLook when there is none, or one is empty or not exact."""
    directory = source / REQUIREMENTS
    wanted = sorted(directory.glob("*.in"))
    if not wanted:
        raise CouldNotLook(f"{REQUIREMENTS}/ holds no *.in; nothing says what is asked for")
    return [_read_lock(path) for path in wanted]


def _read_lock(asked: Path) -> Lock:
    locked = asked.with_suffix(".txt")
    if not locked.is_file():
        raise CouldNotLook(f"{REQUIREMENTS}/{locked.name} is missing; run make lock")
    versions: dict[str, Version] = {}
    for line in locked.read_text().splitlines():
        if found := _PINNED.match(line):
            try:
                version = Version(found["version"])
            except InvalidVersion as fault:
                raise CouldNotLook(f"{locked.name}: {fault}") from fault
            name = canonicalize_name(found["name"])
            # A universal lock may pin a package twice, by environment; the older one is the one to worry about.
            versions[name] = min(version, versions.get(name, version))
    direct: dict[str, str] = {}
    for line in asked.read_text().splitlines():
        if found := _ASKED.match(line.strip()):
            direct[canonicalize_name(found["name"])] = f"{found['name']}{found['extras'] or ''}"
    if missing := sorted(set(direct) - set(versions)):
        raise CouldNotLook(f"{locked.name} lacks {', '.join(missing)}; run make lock")
    if not versions:
        raise CouldNotLook(f"{locked.name} pins nothing; run make lock")
    return Lock(asked.stem, direct, versions)
