"""Builds an artifact: the same content gives the same digest, and a version never changes its content."""

import json
import re
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.release import process, wheelhouse
from infra.release.artifact import (
    SCHEMA,
    Artifact,
    checked_version,
    digest_of,
    hashes_below,
    open_artifact,
)
from infra.release.errors import ReleaseError, WrongUse
from infra.release.source import Source, released_files

SERVICE_LOCK = Path("requirements/service.txt")
INSTALLER_LOCK = Path("requirements/installer.txt")
VERSION_FILE = Path("service/search_api/version.py")
EPOCH = "1577836800"  # one moment for all builds (2020-01-01): the time of building is no part of the content
BUILD_SECONDS = 180


class VersionTaken(WrongUse):
    """The version exists with other content."""


def build(source: Source, version: str | None, dist: Path) -> Artifact:
    """Make `dist/VERSION/` from a checkout, or return the one that already holds the same content.

    `version` None means the one written in the service. Raises VersionTaken when the version exists with other
    content, ReleaseError when a tool fails; nothing half-built stays behind under the version's name.
    """
    version = checked_version(version or declared_version(source.directory))
    dist.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".building-{version}-", dir=dist))
    try:
        _build_wheel(source, version, scratch)
        shutil.copyfile(source.directory / SERVICE_LOCK, scratch / "requirements.txt")
        wheels = scratch / "wheelhouse"
        sbom = wheelhouse.fill(wheels, scratch / "requirements.txt", source.directory / INSTALLER_LOCK)
        _write_sbom(sbom, version, scratch)
        made = _seal(source, version, scratch)
        return _keep(made, dist / version)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def declared_version(directory: Path) -> str:
    """The version that the service's source names. Raises WrongUse when it names none."""
    path = directory / VERSION_FILE
    found = re.search(
        r'^__version__\s*=\s*"([^"]+)"', path.read_text() if path.is_file() else "", re.MULTILINE
    )
    if not found:
        raise WrongUse(f'{path}: no line __version__ = "…"; restore it or give --version')
    return found.group(1)


def _build_wheel(source: Source, version: str, scratch: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="launchgate-build-") as place:
        for path in released_files(source.directory, "service"):
            target = Path(place) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source.directory / path, target)
        _stamp(Path(place) / VERSION_FILE, version)
        done = process.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(scratch)],
            log=Path(place) / "hatchling.log",
            timeout=BUILD_SECONDS,
            cwd=Path(place) / "service",
            env={"SOURCE_DATE_EPOCH": EPOCH},
        )
        if done.rc:
            raise ReleaseError(f"service: the wheel cannot be built; hatchling said:\n{done.tail()}")
    if [path.name for path in scratch.glob("*.whl")] != [f"search_api-{version}-py3-none-any.whl"]:
        raise ReleaseError(f"service: built {[p.name for p in scratch.iterdir()]}, not search_api {version}")


def _stamp(path: Path, version: str) -> None:
    text, found = re.subn(
        r'^__version__\s*=\s*"[^"]*"', f'__version__ = "{version}"', path.read_text(), flags=re.MULTILINE
    )
    if not found:
        raise WrongUse(f'{path.name}: no line __version__ = "…" to put the version in')
    path.write_text(text)


def _write_sbom(sbom: dict[str, Any], version: str, scratch: Path) -> None:
    name = "search-api"
    sbom.setdefault("metadata", {})["component"] = {
        "type": "application",
        "name": name,
        "version": version,
        "bom-ref": f"{name}@{version}",
        "purl": f"pkg:pypi/{name}@{version}",
    }
    (scratch / "sbom.json").write_text(json.dumps(sbom, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _seal(source: Source, version: str, scratch: Path) -> Artifact:
    files = hashes_below(scratch)
    manifest = {
        "schema": SCHEMA,
        "version": version,
        "commit": source.commit,
        "tree": source.tree,
        "digest": digest_of(files),
        "built_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": list(wheelhouse.PYTHONS),
        "files": files,
    }
    path = scratch / "manifest.json"
    path.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return Artifact(scratch, version, source.commit, source.tree, str(manifest["digest"]))


def _keep(made: Artifact, place: Path) -> Artifact:
    """Move the new artifact to its name; when that is taken, only the same content may be there."""
    if place.exists():
        there = open_artifact(place)
        if there.digest != made.digest:
            raise VersionTaken(
                f"version {made.version} exists with other content (built from {there.commit[:12]}), and a released "
                f"version never changes; choose another with --version, or remove {place} if it was never released"
            )
        # The same bytes from a newer commit: the evidence belongs to the commit that is released now.
        made.manifest.replace(place / "manifest.json")
    else:
        made.directory.chmod(0o755)
        made.directory.rename(place)
    return Artifact(place, made.version, made.commit, made.tree, made.digest)
