"""Which source this is: its commit, and git's hash of all content as it lies there, ignored files left out."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from checks.gate import CouldNotLook

GIT_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class SourceIdentity:
    """`commit` is HEAD's hash; `tree` covers changes that are not committed, so equal trees are equal content."""

    commit: str
    tree: str

    def is_of(self, commit: str, tree: str) -> bool:
        """Whether a release of this commit (perhaps marked "+dirty") and tree was made of this source."""
        return self.tree == tree and self.commit.partition("+")[0] == commit.partition("+")[0]


def identify(source: Path) -> SourceIdentity:
    """Look at a checkout without touching its index or objects. Raises CouldNotLook when it is none."""
    commit = git(source, "rev-parse", "--verify", "HEAD").strip()
    objects = git(source, "rev-parse", "--path-format=absolute", "--git-path", "objects").strip()
    index = Path(git(source, "rev-parse", "--path-format=absolute", "--git-path", "index").strip())
    with tempfile.TemporaryDirectory(prefix="launchgate-tree-") as scratch:
        own_index = Path(scratch) / "index"
        if index.is_file():
            own_index.write_bytes(index.read_bytes())
        (Path(scratch) / "objects").mkdir()
        environment = {
            "GIT_INDEX_FILE": str(own_index),
            "GIT_OBJECT_DIRECTORY": str(Path(scratch) / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": objects,
        }
        git(source, "add", "--all", environment=environment)
        return SourceIdentity(commit, git(source, "write-tree", environment=environment).strip())


def tracked_files(source: Path, pattern: str) -> list[str]:
    """Files of the source that match a git pathspec, relative to it, sorted; ignored files left out."""
    listed = git(source, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", pattern)
    return sorted({name for name in listed.split("\0") if name and (source / name).is_file()})


def git(source: Path, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """What a git command prints. Raises CouldNotLook with git's own words."""
    try:
        done = subprocess.run(
            ["git", "-c", f"safe.directory={source.resolve()}", "-C", str(source), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=GIT_TIMEOUT_S,
            env={**os.environ, **(environment or {})},
        )
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise CouldNotLook(f"git {arguments[0]} in {source}: {fault}") from fault
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["failed"])[-1]
        raise CouldNotLook(f"{source}: git {arguments[0]}: {said}; name the root of a checkout")
    return done.stdout
