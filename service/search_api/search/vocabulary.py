"""The words of a user's own database, for suggestions: read from a bounded sample of its indexed columns, kept a while.

Of each table with a FULLTEXT index a random sample is read, at most so many rows and so long in all; so a word that is
seldom may be missing. Whether a word is in the database at all is asked of the index itself, never of this.
"""

# ruff: noqa: S608 (quoted names and numbers of our own)

import json
import threading
import time
import zlib
from collections import Counter, OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import structlog
from rapidfuzz import process
from rapidfuzz.distance import OSA

from search_api.cache import Cache
from search_api.connections import pool_key, target_of
from search_api.customer.connect import CannotConnectError
from search_api.customer.pools import (
    CustomerConnection,
    CustomerPools,
    StatementFailedError,
    StatementTimeoutError,
)
from search_api.customer.schema import SchemaCache, Table
from search_api.errors import ApiError
from search_api.models import DatabaseConnection
from search_api.search.conditions import quote
from search_api.search.query import not_indexed_reason, words_in
from search_api.search.words import folded
from search_api.settings import Settings
from search_api.vault import UnreadableCredentialError, Vault

log = structlog.get_logger()

_KIND = "vocabulary"
_MOST_KEPT = 16  # databases whose words are in this process's memory, about 3 MB each
_MOST_TABLES = 20
_MOST_WORDS = 30_000
_TEXT_LENGTH = 1_000
_SECONDS = 2.0
_LARGE = 2_000_000  # rows; of a larger table the first rows are read, for a random sample looks at every row
_LONGEST = 40


@dataclass(frozen=True)
class Vocabulary:
    """Words and in how many rows of the sample each is."""

    words: dict[str, int]

    def near(self, word: str, most: int = 5) -> list[tuple[str, float]]:
        """Known words that differ by a slip of the hand, best first, each with its likeness from 0 to 1.

        Allowed are one edit in words of 3 to 5 letters and two in longer ones (Elasticsearch's fuzziness AUTO); an edit
        is a letter more, less or other, or two neighbours swapped (optimal string alignment).
        """
        asked = folded(word)
        allowed = 0 if len(asked) < 3 else 1 if len(asked) < 6 else 2
        found = process.extract(
            asked, self.words.keys(), scorer=OSA.distance, score_cutoff=allowed, limit=200
        )
        ranked = sorted(
            (distance, -self.words[near], near) for near, distance, _ in found if distance and near != asked
        )
        return [
            (near, round(1 - distance / max(len(asked), len(near)), 4)) for distance, _, near in ranked[:most]
        ]

    def beginning_with(self, start: str, most: int = 5) -> list[str]:
        """Known words that go on from here, the most frequent first."""
        asked = folded(start)
        found = [word for word in self.words if word.startswith(asked) and word != asked]
        return sorted(found, key=lambda word: (-self.words[word], word))[:most]


class Vocabularies:
    """Vocabularies of users' databases: in this process, else in Redis, else read."""

    def __init__(
        self, settings: Settings, cache: Cache, pools: CustomerPools, schemas: SchemaCache, vault: Vault
    ) -> None:
        self._seconds = settings.vocabulary_cache_seconds
        self._rows = settings.vocabulary_rows
        self._cache, self._pools, self._schemas, self._vault = cache, pools, schemas, vault
        self._kept: OrderedDict[str, tuple[float, dict[str, dict[str, int]]]] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, rows: Sequence[DatabaseConnection], tables: Collection[str] | None = None) -> Vocabulary:
        """The words of these databases together, of these tables only; a database that fails has none."""
        words: Counter[str] = Counter()
        for row in rows:
            for name, found in self._of(row).items():
                if tables is None or name in tables:
                    words.update(found)
        return Vocabulary(dict(words))

    def _of(self, row: DatabaseConnection) -> dict[str, dict[str, int]]:
        key = pool_key(row)
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
        try:
            packed, _ = self._cache.get_or_make(_KIND, key, int(self._seconds), lambda: self._make(row))
        except (
            CannotConnectError,
            StatementFailedError,
            StatementTimeoutError,
            UnreadableCredentialError,
            ApiError,
        ) as error:
            log.info("no vocabulary", reason=type(error).__name__)
            return {}
        found: dict[str, dict[str, int]] = json.loads(zlib.decompress(packed))
        with self._lock:
            self._kept[key] = (time.monotonic() + self._seconds, found)
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return found

    def _make(self, row: DatabaseConnection) -> tuple[bytes, bool]:
        key = pool_key(row)
        with self._pools.borrow(key, target_of(row, self._vault)) as connection:
            tables = [table for table in self._schemas.read(key, connection, row.database) if table.indexes]
            words = _read(connection, tables[:_MOST_TABLES], self._rows)
        return zlib.compress(json.dumps(words, separators=(",", ":")).encode()), True


def _read(
    connection: CustomerConnection, tables: Sequence[Table], most_rows: int
) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    until = time.monotonic() + _SECONDS
    for table in tables:
        if time.monotonic() > until:
            break
        counts[table.name] = _words_of(connection, table, most_rows // len(tables), until)
    whole: Counter[str] = Counter()
    for each in counts.values():
        whole.update(each)
    kept = {word for word, _ in sorted(whole.items(), key=lambda item: (-item[1], item[0]))[:_MOST_WORDS]}
    return {name: {word: n for word, n in each.items() if word in kept} for name, each in counts.items()}


def _words_of(connection: CustomerConnection, table: Table, most_rows: int, until: float) -> Counter[str]:
    columns = dict.fromkeys(name for index in table.indexes for name in index.columns)
    chosen = ", ".join(f"LEFT({quote(name)}, {_TEXT_LENGTH})" for name in columns)
    sampled = most_rows < table.estimated_rows <= _LARGE
    where = f" WHERE RAND(1) < {most_rows / table.estimated_rows:.6f}" if sampled else ""
    statement = f"SELECT CONCAT_WS(' ', {chosen}) AS t FROM {quote(table.name)}{where} LIMIT %s"
    try:
        rows = connection.rows(statement, (most_rows,))
    except StatementTimeoutError:
        return Counter()
    words: Counter[str] = Counter()
    for row in rows:
        words.update({word for word in words_in(folded(row["t"] or "")) if _is_kept(word)})
        if time.monotonic() > until:
            break
    return words


def _is_kept(word: str) -> bool:
    return len(word) <= _LONGEST and not word.isdigit() and not_indexed_reason(word) is None
