"""Known vulnerabilities of the locked packages: from pip-audit, or from an offline mirror in OSV format.

An audit that could not look a package up is an error, never "no known vulnerabilities".
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from checks.code_quality.locks import REQUIREMENTS, Lock, read_locks
from checks.code_quality.tooling import Finding, run_module
from checks.gate import CouldNotLook

AUDIT_TIMEOUT_S = 120.0
MIRROR_AGE_DAYS = 7.0


@dataclass(frozen=True)
class Mirror:
    """A directory of OSV JSON files and the age in days beyond which it is too old to say anything."""

    directory: Path
    max_age_days: float = MIRROR_AGE_DAYS


def audit(source: Path, mirror: Mirror | None) -> Finding:
    """Audit every lock of the source. Raises CouldNotLook when any package could not be looked up."""
    locks = read_locks(source)
    return audit_with_mirror(locks, mirror) if mirror else audit_with_service(source, locks)


def audit_with_service(source: Path, locks: list[Lock]) -> Finding:
    """pip-audit over the locks; its skips are packages that it did not look up."""
    vulnerable: list[str] = []
    looked = 0
    for lock in locks:
        ran = run_module(
            source, "pip_audit", "-r", f"{REQUIREMENTS}/{lock.name}.txt", "--disable-pip", "--require-hashes",
            "-f", "json", "--progress-spinner", "off", "--timeout", "10",
            timeout_s=AUDIT_TIMEOUT_S,
        )  # fmt: skip
        try:
            entries = json.loads(ran.stdout)["dependencies"]
        except (ValueError, KeyError, TypeError) as fault:
            raise CouldNotLook(f"pip-audit did not answer (exit {ran.rc}): {ran.last_words()}") from fault
        skipped = [one["name"] for one in entries if "skip_reason" in one]
        if skipped:
            raise CouldNotLook(
                f"pip-audit could not look up {len(skipped)} of {len(entries)} packages of {lock.name} "
                f"({', '.join(skipped[:3])}, ...); reach an advisory service or configure advisory_mirror"
            )
        looked += len(entries)
        vulnerable += [
            f"{one['name']} {one['version']}: {hole['id']}"
            for one in entries
            for hole in one.get("vulns", ())
        ]
    if looked < len({name for lock in locks for name in lock.versions}):
        raise CouldNotLook(f"pip-audit looked at {looked} packages only")
    return _judge(
        vulnerable, {"service": "pip-audit", "packages": looked, "date": dt.date.today().isoformat()}
    )


def audit_with_mirror(locks: list[Lock], mirror: Mirror, now: dt.datetime | None = None) -> Finding:
    """Match every locked version against the mirror's advisories. Raises CouldNotLook when it is old or damaged."""
    advisories = list(_read_mirror(mirror.directory))
    newest = max(_modified(one) for one in advisories)
    age_days = ((now or dt.datetime.now(dt.UTC)) - newest).total_seconds() / 86400
    if age_days > mirror.max_age_days:
        raise CouldNotLook(
            f"the advisory mirror is of {newest.date()}, {age_days:.0f} days old; at most {mirror.max_age_days:g} count"
        )
    versions = {(name, version) for lock in locks for name, version in lock.versions.items()}
    vulnerable = sorted(
        f"{name} {version}: {one['id']}"
        for one in advisories
        for name, version in versions
        if not one.get("withdrawn") and _affects(one, name, version)
    )
    return _judge(
        vulnerable,
        {
            "service": "OSV mirror",
            "packages": len(versions),
            "advisories": len(advisories),
            "date": str(newest.date()),
        },
    )


def _judge(vulnerable: list[str], figures: dict[str, Any]) -> Finding:
    figures = {**figures, "vulnerable": vulnerable}
    if vulnerable:
        return Finding(
            "FAIL", f"{len(vulnerable)} known vulnerabilities: {'; '.join(vulnerable[:5])}", figures
        )
    return Finding(
        "PASS",
        f"{figures['packages']} packages, none known vulnerable ({figures['service']} of {figures['date']})",
        figures,
    )


def _read_mirror(directory: Path) -> Iterator[dict[str, Any]]:
    paths = sorted(directory.rglob("*.json")) if directory.is_dir() else []
    if not paths:
        raise CouldNotLook(
            f"the advisory mirror {directory} holds no advisory; refresh it or correct advisory_mirror"
        )
    for path in paths:
        try:
            advisory = json.loads(path.read_text())
            yield {**advisory, "id": str(advisory["id"]), "affected": list(advisory["affected"])}
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise CouldNotLook(
                f"{path}: no advisory in OSV format ({fault!r}); refresh the mirror"
            ) from fault


def _modified(advisory: dict[str, Any]) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(str(advisory["modified"]))
    except (KeyError, ValueError) as fault:
        raise CouldNotLook(
            f"{advisory['id']}: `modified` is missing or no date; refresh the mirror"
        ) from fault
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _affects(advisory: dict[str, Any], name: str, version: Version) -> bool:
    for affected in advisory["affected"]:
        package = affected.get("package", {})
        if package.get("ecosystem") != "PyPI" or canonicalize_name(package.get("name", "")) != name:
            continue
        if any(_same(version, listed) for listed in affected.get("versions", ())):
            return True
        for one in affected.get("ranges", ()):
            if one.get("type") == "ECOSYSTEM" and _in_range(advisory["id"], one.get("events", ()), version):
                return True
    return False


def _same(version: Version, listed: str) -> bool:
    try:
        return Version(listed) == version
    except InvalidVersion:
        return str(version) == listed


def _in_range(advisory: str, events: list[dict[str, str]], version: Version) -> bool:
    """OSV's rule: sorted by version, each event switches "affected" on or off from there on."""
    affected = False
    try:
        ordered = sorted(
            ((Version("0a0") if at == "0" else Version(at)), kind)
            for event in events
            for kind, at in event.items()
        )
    except InvalidVersion as fault:
        raise CouldNotLook(f"{advisory}: {fault}; refresh the mirror") from fault
    for at, kind in ordered:
        if kind == "introduced" and version >= at:
            affected = True
        elif (kind in ("fixed", "limit") and version >= at) or (kind == "last_affected" and version > at):
            affected = False
    return affected
