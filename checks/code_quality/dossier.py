"""The evidence file: what was found about the code, bound to one commit and tree, and for how long it counts."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checks.code_quality.identity import SourceIdentity
from checks.gate import CouldNotLook

SCHEMA_VERSION = 1
LONGEST_AGE_HOURS = 24.0
HOW = "run python -m checks.code_quality.collect for this very source"


@dataclass(frozen=True)
class Dossier:
    """A read evidence file."""

    path: Path
    source: SourceIdentity
    ended: dt.datetime
    items: dict[str, dict[str, Any]]

    def entry(self, item: str) -> dict[str, Any]:
        """What it says about one item. Raises CouldNotLook when it says nothing."""
        if item not in self.items:
            raise CouldNotLook(f"{self.path.name} says nothing about {item}; {HOW}")
        return self.items[item]


def find_dossier(directory: Path, wanted: SourceIdentity, now: dt.datetime | None = None) -> Dossier:
    """The evidence of exactly this source, young enough. Raises CouldNotLook in every other case."""
    names = (f"{wanted.tree}.json", f"{wanted.commit.partition('+')[0]}.json")
    path = next((directory / name for name in names if (directory / name).is_file()), None)
    if path is None:
        raise CouldNotLook(f"no evidence for tree {wanted.tree[:12]} in {directory}; {HOW}")
    dossier = read_dossier(path)
    if not dossier.source.is_of(wanted.commit, wanted.tree):
        theirs = f"commit {dossier.source.commit[:12]}, tree {dossier.source.tree[:12]}"
        ours = f"commit {wanted.commit[:12]}, tree {wanted.tree[:12]}"
        raise CouldNotLook(f"evidence belongs to {theirs}, the release is of {ours}; {HOW}")
    age = (now or dt.datetime.now(dt.UTC)) - dossier.ended
    if age > dt.timedelta(hours=LONGEST_AGE_HOURS):
        raise CouldNotLook(
            f"evidence is {age.total_seconds() / 3600:.0f} h old, {LONGEST_AGE_HOURS:g} h count; {HOW}"
        )
    if age < dt.timedelta(minutes=-5):
        raise CouldNotLook(f"evidence belongs to the future ({dossier.ended}); set the clock and {HOW}")
    return dossier


def read_dossier(path: Path) -> Dossier:
    """Read an evidence file. Raises CouldNotLook when it is damaged."""
    try:
        document = json.loads(path.read_text())
        if document["schema"] != SCHEMA_VERSION:
            raise ValueError(f"schema {document['schema']}")
        ended = dt.datetime.fromisoformat(document["ended"])
        source = SourceIdentity(str(document["commit"]), str(document["tree"]))
        items = {str(key): dict(value) for key, value in document["items"].items()}
        return Dossier(path, source, ended if ended.tzinfo else ended.replace(tzinfo=dt.UTC), items)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise CouldNotLook(f"{path}: damaged evidence ({fault!r}); {HOW}") from fault


def write_dossier(path: Path, document: dict[str, Any]) -> None:
    """Write an evidence file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(document, indent=1) + "\n")
    part.replace(path)
