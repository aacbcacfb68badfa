"""Waivers and attestations: who answers for a red or unreviewed item, why, and until when.

One TOML file an inventory holds `[[waiver]]` and `[[attestation]]` tables with the keys item, owner, reason,
date, expires; a waiver may add `covers`, the outcomes it excuses (default FAIL and NOT_REVIEWED; ERROR only
when named). An entry that is malformed, expired, future-dated or longer than 90 days counts as absent.
"""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LONGEST_DAYS = 90
_KINDS = ("waiver", "attestation")
_REQUIRED = ("item", "owner", "reason", "date", "expires")
_COVERABLE = ("FAIL", "NOT_REVIEWED", "ERROR")
_DEFAULT_COVERS = ("FAIL", "NOT_REVIEWED")


@dataclass(frozen=True)
class Entry:
    """One valid waiver or attestation."""

    kind: str
    item: str
    owner: str
    reason: str
    date: dt.date
    expires: dt.date
    covers: tuple[str, ...]
    place: str

    def told(self) -> str:
        """One line for people."""
        return f"{self.owner}, {self.date} to {self.expires}: {self.reason} ({self.place})"


@dataclass
class Book:
    """Every valid entry by item, and for every other entry why it counts as absent."""

    waivers: dict[str, Entry] = field(default_factory=dict)
    attestations: dict[str, Entry] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


def read_book(path: Path, known_ids: Collection[str], today: dt.date) -> Book:
    """Read the waivers file; an absent file is an empty book. Faults never raise: they land in `refused`."""
    book = Book()
    if not path.exists():
        return book
    try:
        text = path.read_text()
        tables = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        book.refused.append(f"{path}: cannot be read ({fault}); no waiver or attestation in it counts")
        return book
    for kind, entries in tables.items():
        _read_kind(path, text, kind, entries, known_ids, today, book)
    return book


def _read_kind(
    path: Path, text: str, kind: str, entries: Any, known_ids: Collection[str], today: dt.date, book: Book
) -> None:
    if kind not in _KINDS or not isinstance(entries, list):
        book.refused.append(f"{path}: unknown key {kind!r}; use [[waiver]] and [[attestation]]")
        return
    lines = _header_lines(text, kind)
    target = book.waivers if kind == "waiver" else book.attestations
    for number, raw in enumerate(entries):
        place = f"{path}:{lines[number]}" if number < len(lines) else f"{path} ({kind} {number + 1})"
        fault = _fault(kind, raw, known_ids, today)
        if fault is None and raw["item"] in target:
            fault = f"{raw['item']} has a {kind} already at {target[raw['item']].place}"
        if fault is not None:
            book.refused.append(f"{place}: {fault}; this {kind} counts as absent")
            continue
        covers = tuple(raw.get("covers", _DEFAULT_COVERS))
        words = {key: raw[key] for key in _REQUIRED}
        target[raw["item"]] = Entry(kind=kind, covers=covers, place=place, **words)


def _header_lines(text: str, kind: str) -> list[int]:
    header = re.compile(rf"^\s*\[\[\s*{kind}\s*\]\]")
    return [number for number, line in enumerate(text.splitlines(), 1) if header.match(line)]


def _fault(kind: str, raw: Any, known_ids: Collection[str], today: dt.date) -> str | None:
    """Why an entry does not count, or None."""
    if not isinstance(raw, dict):
        return "is not a table"
    allowed = {*_REQUIRED, "covers"} if kind == "waiver" else set(_REQUIRED)
    if unknown := sorted(set(raw) - allowed):
        return f"unknown key {', '.join(map(repr, unknown))}"
    if missing := [key for key in _REQUIRED if key not in raw]:
        return f"{', '.join(missing)} missing"
    for key in ("item", "owner", "reason"):
        if not isinstance(raw[key], str) or not raw[key].strip():
            return f"{key} is empty or not text"
    for key in ("date", "expires"):
        if type(raw[key]) is not dt.date:
            return f"{key} is not a date such as {today.isoformat()} (without quotes)"
    if raw["item"] not in known_ids:
        return f"unknown item {raw['item']}"
    return _fault_in_dates(raw["item"], raw["date"], raw["expires"], today) or _fault_in_covers(raw)


def _fault_in_dates(item: str, date: dt.date, expires: dt.date, today: dt.date) -> str | None:
    if date > today:
        return f"{item} is dated in the future ({date})"
    if expires < today:
        return f"{item} expired on {expires}"
    if (expires - date).days > LONGEST_DAYS:
        return f"{item} lasts {(expires - date).days} days, at most {LONGEST_DAYS} are allowed"
    return None


def _fault_in_covers(raw: dict[str, Any]) -> str | None:
    covers = raw.get("covers", list(_DEFAULT_COVERS))
    if not isinstance(covers, list) or not covers or any(one not in _COVERABLE for one in covers):
        return f"covers must list some of {', '.join(_COVERABLE)}"
    return None
