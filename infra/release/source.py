"""Which source a release is made of: its commit, and the exact content of its tree."""

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from infra.release.errors import WrongUse

RELEASED = ("service", "requirements")  # what decides an artifact's content


@dataclass(frozen=True)
class Source:
    """A checkout. `commit` ends in "+dirty" when what is released differs from it; `tree` is git's hash of all
    content as it lies there, ignored files left out, so equal trees are equal content."""

    directory: Path
    commit: str
    tree: str

    @classmethod
    def of(cls, directory: Path) -> "Source":
        """Look at a checkout without touching it. Raises WrongUse when it is not one with a commit."""
        directory = directory.resolve()
        if not (directory / "service").is_dir():
            raise WrongUse(f"{directory}: no service/ in it; give the root of a checkout with --source")
        commit = git(directory, "rev-parse", "--verify", "HEAD").strip()
        changed = git(directory, "status", "--porcelain", "--untracked-files=all", "--", *RELEASED).strip()
        return cls(directory, commit + ("+dirty" if changed else ""), _tree(directory))


def released_files(directory: Path, below: str) -> list[Path]:
    """The files below `below` that belong to the source, relative to `directory`, sorted; ignored ones not."""
    listed = git(directory, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", below)
    return sorted({Path(name) for name in listed.split("\0") if name and (directory / name).is_file()})


def git(directory: Path, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """What a git command prints. Raises WrongUse with git's own words."""
    try:
        done = subprocess.run(
            ["git", "-c", f"safe.directory={directory}", "-C", str(directory), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**os.environ, **(environment or {})},
        )
    except FileNotFoundError as missing:
        raise WrongUse("git is not installed; it says which commit is released") from missing
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["failed"])[-1]
        raise WrongUse(f"{directory}: git {arguments[0]}: {said}; release from a git checkout")
    return done.stdout


def _tree(directory: Path) -> str:
    """Hash the content through an index and an object store of our own: the user's repository stays as it is."""
    objects = git(directory, "rev-parse", "--path-format=absolute", "--git-path", "objects").strip()
    index = Path(git(directory, "rev-parse", "--path-format=absolute", "--git-path", "index").strip())
    with tempfile.TemporaryDirectory(prefix="launchgate-tree-") as scratch:
        own_index = Path(scratch) / "index"
        if index.is_file():  # a copy of the real one saves hashing unchanged files again
            own_index.write_bytes(index.read_bytes())
        (Path(scratch) / "objects").mkdir()
        environment = {
            "GIT_INDEX_FILE": str(own_index),
            "GIT_OBJECT_DIRECTORY": str(Path(scratch) / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": objects,
        }
        git(directory, "add", "--all", environment=environment)
        return git(directory, "write-tree", environment=environment).strip()
