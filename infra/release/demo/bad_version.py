"""The source of the version that fails: a clone of the user's checkout with one patch, committed there."""

import shutil
from pathlib import Path

from infra.release.errors import WrongUse
from infra.release.source import Source, git, released_files

PATCH = Path(__file__).with_name("errors_under_load.patch")
AUTHOR = ("-c", "user.name=Launchgate demo", "-c", "user.email=demo@localhost", "-c", "commit.gpgsign=false")


def make(given: Path, place: Path) -> Source:
    """Clone `given` as it lies there, uncommitted changes included, into `place`, and apply the patch.

    The same content gives the same commit. Raises WrongUse when the patch does not apply.
    """
    if not PATCH.is_file():
        raise WrongUse(f"{PATCH}: the demo's bad version is missing; restore it from git")
    git(given, "clone", "--quiet", "--shared", str(given), str(place))
    _copy_what_is_not_committed(given, place)
    git(place, "apply", "--index", str(PATCH))
    when = git(given, "log", "-1", "--format=%cI").strip()
    git(
        place, *AUTHOR, "commit", "--quiet", "--all", "--no-verify", "--message", "Hold fewer database connections",
        environment={"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when},
    )  # fmt: skip
    return Source.of(place)


def _copy_what_is_not_committed(given: Path, place: Path) -> None:
    there = set(released_files(given, "."))
    for path in set(released_files(place, ".")) - there:
        (place / path).unlink()
    for path in there:
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(given / path, place / path)
    git(place, "add", "--all")
