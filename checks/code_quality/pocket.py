"""Ground for sabotages of the code items: a small copy of this source, with its real configuration and tools.

The packages are cut down to a few lines, so that a look at all six items takes seconds; pyproject.toml and the
locks are the real ones. Nothing is ever written to the source itself.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import shutil
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checks.code_quality.advisories import Mirror
from checks.code_quality.collect import ALL_ITEMS, collect
from checks.code_quality.dossier import write_dossier
from checks.code_quality.identity import git, identify, tracked_files
from checks.gate import DidNotApply
from checks.gate.workbench import Workbench

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("infra", "inventories", "checks", "loadtests")
MODULE = "service/search_api/pages.py"
TEST = "tests/service/test_pages.py"
_MODULE = '''\
"""How many pages a result has."""


def pages(rows: int, size: int) -> int:
    """Pages of `size` rows that hold `rows`; none for none."""
    if rows <= 0:
        return 0
    return -(-rows // size)
'''
_TEST = '''\
"""Pages are counted."""

from search_api.pages import pages


def test_a_started_page_counts() -> None:
    assert pages(11, 10) == 2


def test_nothing_has_no_page() -> None:
    assert pages(0, 10) == 0
'''


@dataclass
class Pocket:
    """One small source tree, the advisories about it, and what was found about each item."""

    root: Path
    advisories: Path
    found: dict[str, dict[str, Any]]

    @classmethod
    def green(cls, bench: Workbench) -> Pocket:
        """A tree that is green in all six items; made once a run, then copied. Shown to the checks."""
        first = bench.scratch / "pocket-first"
        if not first.exists():
            _build(first)
        place = bench.scratch / f"pocket-{sum(1 for _ in bench.scratch.glob('pocket-*'))}"
        shutil.copytree(first, place)
        pocket = cls(place / "source", place / "advisories", json.loads((first / "found.json").read_text()))
        pocket.show(bench)
        return pocket

    def path(self, name: str) -> Path:
        """A file of the tree."""
        return self.root / name

    def append(self, name: str, text: str) -> None:
        """Add (dedented) text to a file of the tree, which is made when missing."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text() if path.exists() else ""
        path.write_text(before + textwrap.dedent(text))

    def advise(self, identifier: str, package: str, events: list[dict[str, str]], **more: Any) -> None:
        """Add an advisory about a package to the mirror."""
        _write_advisory(self.advisories, identifier, package, events, **more)

    def look(self, *items: str) -> None:
        """Commit the tree and collect anew the evidence of these items; the others keep theirs."""
        _commit(self.root)
        self.found.update(_collect(self.root, self.advisories, items)["items"])

    def show(self, bench: Workbench, **identity: str) -> None:
        """Present this tree as the release, with its evidence, which may say something else of itself."""
        ours = identify(self.root)
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        manifest, evidence = self.root.parent / "manifest.json", self.root.parent / "evidence"
        released = {"version": "0", "commit": ours.commit, "tree": ours.tree, "digest": "sha256:0"}
        manifest.write_text(json.dumps(released))
        words = {"commit": ours.commit, "tree": ours.tree, "started": now, "ended": now, **identity}
        write_dossier(
            evidence / f"{ours.tree}.json", {"schema": 1, "tools": {}, "items": self.found, **words}
        )
        bench.present(manifest, evidence)

    def require(self, item: str, outcome: str) -> None:
        """That the collector has noticed: a break that it does not see was not in force, or it is blind."""
        if self.found[item]["outcome"] != outcome:
            raise DidNotApply(
                f"the collector says {self.found[item]['outcome']}: {self.found[item]['reason']}"
            )


def _build(first: Path) -> None:
    source, advisories = first / "source", first / "advisories"
    for name in ("pyproject.toml", ".gitignore", *tracked_files(REPOSITORY, "requirements")):
        _copy(name, source)
    for package in PACKAGES:
        _copy(f"{package}/__init__.py", source)
    (source / MODULE).parent.mkdir(parents=True)
    (source / MODULE).write_text(_MODULE)
    (source / MODULE).with_name("__init__.py").write_text('"""A part of the service."""\n')
    (source / "tests" / "service").mkdir(parents=True)
    (source / TEST).write_text(_TEST)
    git(first, "init", "--quiet", str(source))
    _commit(source)
    _write_advisory(advisories, "DEMO-0", "no-such-package", [{"introduced": "0"}])
    document = _collect(source, advisories, ALL_ITEMS)
    (first / "found.json").write_text(json.dumps(document["items"]))


def _copy(name: str, source: Path) -> None:
    (source / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(REPOSITORY / name, source / name)


def _commit(source: Path) -> None:
    git(source, "add", "--all")
    author = ("-c", "user.name=bench", "-c", "user.email=bench@example.com", "-c", "commit.gpgsign=false")
    git(source, *author, "commit", "--quiet", "--allow-empty", "-m", "state")


def _collect(source: Path, advisories: Path, items: tuple[str, ...]) -> dict[str, Any]:
    with contextlib.redirect_stdout(io.StringIO()):
        return collect(source, Mirror(advisories), items)


def _write_advisory(
    directory: Path, identifier: str, package: str, events: list[dict[str, str]], **more: Any
) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    advisory = {
        "id": identifier,
        "modified": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": package},
                "ranges": [{"type": "ECOSYSTEM", "events": events}],
            }
        ],
        **more,
    }
    (directory / f"{identifier}.json").write_text(json.dumps(advisory))
