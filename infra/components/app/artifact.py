"""Built artifacts on the controller: found by version or release name, and checked before any machine is touched."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pyinfra.api.exceptions import PyinfraError

from inventories.schema import REPOSITORY

DIST = REPOSITORY / "dist"
WHEEL_TAG = re.compile(r"-(?P<python>[^-]+)-(?P<abi>[^-]+)-(?P<platform>[^-]+)\.whl$")


@dataclass(frozen=True)
class Artifact:
    """One built version. `files` maps relative path to SHA-256."""

    folder: Path
    version: str
    digest: str
    files: Mapping[str, str]

    @property
    def release(self) -> str:
        """The name under which machines install it."""
        return f"{self.version}-{self.digest[:12]}"

    def needed(self, python: str, held: Mapping[str, str]) -> list[str]:
        """What a machine with that Python (such as "3.11") still lacks; `held` maps wheels it has to SHA-256."""
        wanted = []
        for name, digest in sorted(self.files.items()):
            path = Path(name)
            is_wheel_for_it = path.parent.name == "wheelhouse" and fits(path.name, python)
            is_of_the_release = path.parent == Path() and name != "sbom.json"
            if is_of_the_release or (is_wheel_for_it and held.get(path.name) != digest):
                wanted.append(name)
        return wanted

    def upload(self, names: list[str]) -> str:
        """A tar of these files and the manifest, laid out as machines keep them, in base64 lines."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name in [*names, "manifest.json"]:
                place = (
                    f"wheels/{Path(name).name}"
                    if name.startswith("wheelhouse/")
                    else f"incoming/{self.release}/{name}"
                )
                member = tarfile.TarInfo(place)
                body = (self.folder / name).read_bytes()
                member.size, member.mode = len(body), 0o644
                archive.addfile(member, io.BytesIO(body))
        return base64.encodebytes(buffer.getvalue()).decode()


def fits(wheel: str, python: str) -> bool:
    """Whether a wheel is for that Python."""
    tags = WHEEL_TAG.search(wheel)
    if tags is None:
        return False
    minor = int(python.partition(".")[2])
    for tag in tags["python"].split("."):
        if tag in ("py3", "py2.py3") or tag == f"cp3{minor}":
            return True
        if tags["abi"] == "abi3" and tag.startswith("cp3") and int(tag[3:]) <= minor:
            return True
    return False


def find_artifact(wanted: str | None, folder: Path = DIST) -> Artifact | None:
    """The artifact of that version or release name, or the one built last; None when there is none such.

    Raises PyinfraError when it is there but corrupt.
    """
    manifests = sorted(
        folder.glob("[!.]*/manifest.json"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    for manifest in manifests:
        version = manifest.parent.name
        if wanted is None or wanted == version or wanted.startswith(f"{version}-"):
            artifact = _checked(manifest)
            if wanted in (None, artifact.version, artifact.release):
                return artifact
    return None


def _checked(path: Path) -> Artifact:
    try:
        manifest = json.loads(path.read_text())
        artifact = Artifact(path.parent, manifest["version"], manifest["digest"], manifest["files"])
        lines = "".join(f"{artifact.files[name]}  {name}\n" for name in sorted(artifact.files))
    except (ValueError, KeyError, TypeError) as error:
        raise PyinfraError(
            f"{path}: not a manifest ({error!r}); remove {path.parent} and build again"
        ) from None
    if hashlib.sha256(lines.encode()).hexdigest() != artifact.digest:
        raise PyinfraError(
            f"{path}: its digest is not that of its files; remove {path.parent} and build again"
        )
    for name, expected in artifact.files.items():
        file = path.parent / name
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            raise PyinfraError(
                f"{file}: missing or corrupt (differs from manifest.json); remove {path.parent} and build again. "
                "Nothing was changed on any machine"
            )
    return artifact
