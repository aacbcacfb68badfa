"""Reads the catalogue: typed items, unknown keys refused, every fault with its file and item."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PHASES = ("pre", "post", "rollback")
SEVERITIES = ("critical", "high", "medium", "low")
# Roles of the inventory, and three places that are no machine of it.
SCOPES = ("lb", "app", "db", "cache", "ops", "customer", "all", "edge", "source", "cluster")
_ID = re.compile(r"[A-Z0-9]+-[A-Z]+-\d+(\.\d+)?")
_TEXTS = ("id", "title", "why", "severity", "phase", "how", "cure")
_LISTS = ("also", "scope")


class CatalogueError(Exception):
    """The catalogue cannot be used; the message names file, item and cure."""


@dataclass(frozen=True)
class CatalogueItem:
    """One line of the checklist.

    `phase` is where it is proven first, `also` the other phases that ask it again; `scope` the roles (or
    "edge", "source", "cluster") that it concerns; `how` it is proven; `cure` what to do when it is red.
    """

    id: str
    title: str
    why: str
    severity: str
    phase: str
    also: tuple[str, ...]
    scope: tuple[str, ...]
    how: str
    cure: str
    chapter: str

    @property
    def phases(self) -> tuple[str, ...]:
        """Every phase that asks for it, the home phase first."""
        return (self.phase, *self.also)


def load_catalogue(directory: Path = HERE) -> dict[str, CatalogueItem]:
    """Every item by id, in the checklist's order of files and lines. Raises CatalogueError."""
    items: dict[str, CatalogueItem] = {}
    files = sorted(directory.glob("*.toml"))
    if not files:
        raise CatalogueError(f"{directory}: holds no *.toml; name a directory with a catalogue")
    for path in files:
        for one in _read_chapter(path):
            if one.id in items:
                raise CatalogueError(f"{path.name}: {one.id} is there twice; keep one")
            items[one.id] = one
    return items


def _read_chapter(path: Path) -> list[CatalogueItem]:
    try:
        tables = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise CatalogueError(f"{path.name}: cannot be read ({fault})") from fault
    if unknown := sorted(set(tables) - {"chapter", "item"}):
        raise CatalogueError(f"{path.name}: unknown key {unknown[0]!r}; use chapter and [[item]]")
    chapter, raw_items = tables.get("chapter"), tables.get("item")
    if not isinstance(chapter, str) or not isinstance(raw_items, list) or not raw_items:
        raise CatalogueError(f'{path.name}: needs chapter = "..." and at least one [[item]]')
    return [_read_item(path.name, number, raw, chapter) for number, raw in enumerate(raw_items, 1)]


def _read_item(file: str, number: int, raw: dict[str, Any], chapter: str) -> CatalogueItem:
    place = f"{file}: item {raw.get('id', number)}"
    if unknown := sorted(set(raw) - {*_TEXTS, *_LISTS}):
        raise CatalogueError(f"{place}: unknown key {unknown[0]!r}")
    for key in _TEXTS:
        if not isinstance(raw.get(key), str) or not raw[key].strip():
            raise CatalogueError(f"{place}: {key} is missing, empty or not text")
    for key in _LISTS:
        value = raw.get(key)
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise CatalogueError(f"{place}: {key} is missing or not a list of texts")
    _refuse_unknown_words(place, raw)
    words = {key: raw[key].strip() for key in _TEXTS}
    return CatalogueItem(
        **words,
        also=tuple(raw["also"]),
        scope=tuple(raw["scope"]),
        chapter=chapter,
    )


def _refuse_unknown_words(place: str, raw: dict[str, Any]) -> None:
    if not _ID.fullmatch(raw["id"]):
        raise CatalogueError(f"{place}: id has not the shape PRE-CODE-1")
    for key, values, known in (
        ("severity", [raw["severity"]], SEVERITIES),
        ("phase", [raw["phase"]], PHASES),
        ("also", raw["also"], PHASES),
        ("scope", raw["scope"], SCOPES),
    ):
        for value in values:
            if value not in known:
                raise CatalogueError(f"{place}: {key} {value!r} is unknown; use {', '.join(known)}")
    if raw["phase"] in raw["also"] or len(set(raw["also"])) != len(raw["also"]):
        raise CatalogueError(f"{place}: also repeats a phase")
    if not raw["scope"]:
        raise CatalogueError(f"{place}: scope is empty")
