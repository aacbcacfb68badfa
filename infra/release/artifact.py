"""An artifact: one built version in its directory, described and sealed by manifest.json."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.release.errors import WrongUse

SCHEMA = 1
VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(?:(?:a|b|rc)[0-9]+)?")


@dataclass(frozen=True)
class Artifact:
    """What `launchgate build` made. `digest` is the SHA-256 over the sorted hashes of all files."""

    directory: Path
    version: str
    commit: str
    tree: str
    digest: str

    @property
    def release(self) -> str:
        """The name it is installed under: version and the digest's first twelve digits."""
        return f"{self.version}-{self.digest[:12]}"

    @property
    def manifest(self) -> Path:
        """Its manifest.json."""
        return self.directory / "manifest.json"

    def as_json(self) -> dict[str, str]:
        """For records and reports."""
        return {
            "release": self.release,
            "version": self.version,
            "commit": self.commit,
            "tree": self.tree,
            "digest": self.digest,
        }


def checked_version(text: str) -> str:
    """The version itself when it is one. Raises WrongUse."""
    if not VERSION.fullmatch(text):
        raise WrongUse(
            f"version {text!r}: not a release number; use MAJOR.MINOR.PATCH, such as 1.4.0 or 1.5.0rc1"
        )
    return text


def open_artifact(directory: Path) -> Artifact:
    """Read an artifact and check every file against its manifest. Raises WrongUse at the first difference."""
    manifest = read_manifest(directory)
    listed: dict[str, str] = manifest["files"]
    present = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    for name in sorted(present - set(listed) - {"manifest.json"}):
        raise WrongUse(f"{directory / name}: not in the manifest; {_cure(directory)}")
    for name, expected in sorted(listed.items()):
        if name not in present:
            raise WrongUse(f"{directory / name}: missing; {_cure(directory)}")
        if hash_of(directory / name) != expected:
            raise WrongUse(f"{directory / name}: corrupt, it differs from its manifest; {_cure(directory)}")
    if digest_of(listed) != manifest["digest"]:
        raise WrongUse(
            f"{directory / 'manifest.json'}: its digest is not that of its files; {_cure(directory)}"
        )
    return Artifact(directory, manifest["version"], manifest["commit"], manifest["tree"], manifest["digest"])


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest as written, files unchecked. Raises WrongUse when it is missing or not one of ours."""
    path = directory / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise WrongUse(
            f"{directory}: not an artifact (no manifest.json); run `launchgate build`"
        ) from missing
    except ValueError as wrong:
        raise WrongUse(f"{path}: not JSON ({wrong}); {_cure(directory)}") from wrong
    wanted = ("schema", "version", "commit", "tree", "digest", "files")
    missing_keys = [key for key in wanted if not isinstance(manifest, dict) or key not in manifest]
    if missing_keys or manifest["schema"] != SCHEMA:
        raise WrongUse(f"{path}: lacks {', '.join(missing_keys) or 'schema 1'}; {_cure(directory)}")
    return dict(manifest)


def hash_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hashes_below(directory: Path) -> dict[str, str]:
    """Relative path to SHA-256 of every file but the manifest, sorted."""
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {str(path.relative_to(directory)): hash_of(path) for path in files}


def digest_of(files: dict[str, str]) -> str:
    """SHA-256 over "hash  path" lines, sorted by path."""
    lines = "".join(f"{files[name]}  {name}\n" for name in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


def _cure(directory: Path) -> str:
    return f"remove {directory} and build again"
