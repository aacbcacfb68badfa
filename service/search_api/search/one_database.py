"""A search on one of the user's databases."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from search_api.customer.pools import CustomerConnection, Row, StatementTimeoutError
from search_api.customer.schema import Table
from search_api.search.conditions import Sql
from search_api.search.frequencies import Frequencies
from search_api.search.query import Group, terms_of
from search_api.search.statements import (
    FULL,
    RANKED_TEXT_LENGTH,
    SCORE,
    VALUE,
    Mode,
    TableSearch,
    plan_table,
    scanned_rows,
)

WINDOW = 120  # rows of a table that are looked at closely: several pages, read in about a millisecond
_MOST_CATEGORIES = 200


@dataclass(frozen=True)
class Ask:
    """What is searched for. ``depth`` is offset + limit; ``deadline`` is monotonic seconds."""

    query: Group
    mode: Mode
    tables: frozenset[str] | None
    columns: frozenset[str] | None
    depth: int
    like_row_cap: int
    deadline: float


@dataclass(frozen=True)
class Hit:
    """A matching row in MySQL's own order: its key, its text when it is in the window, or all of it without a key."""

    search: TableSearch
    position: int
    key: tuple[object, ...]
    full: bool
    texts: Row | None
    row: Row | None

    @cached_property
    def searched_texts(self) -> dict[str, str]:
        """The beginnings of the searched columns' texts; empty behind the window."""
        values = self.texts if self.texts is not None else self.row or {}
        found = {name: values.get(name) for name in self.search.columns}
        return {name: value[:RANKED_TEXT_LENGTH] for name, value in found.items() if isinstance(value, str)}


@dataclass
class TableFound:
    """What one table holds for a search. ``categories`` counts all matches by category; None is a row without one."""

    search: TableSearch
    rows: int
    frequencies: dict[str, int]
    hits: list[Hit] = field(default_factory=list)
    total: int = 0
    capped: bool = False
    categories: Counter[str | None] = field(default_factory=Counter)


@dataclass
class Found:
    """What one database holds for a search."""

    tables: list[TableFound] = field(default_factory=list)

    @property
    def total(self) -> int:
        """The number of matches."""
        return sum(table.total for table in self.tables)

    @property
    def capped(self) -> bool:
        """Whether not all rows were looked at."""
        return any(table.capped for table in self.tables)

    @property
    def names_known(self) -> bool:
        """Whether any table could be searched as asked."""
        return bool(self.tables)


def search_database(
    connection: CustomerConnection, schema: Sequence[Table], ask: Ask, frequencies: Frequencies, key: str
) -> Found:
    """The best rows of each table and the number of all. Raises as CustomerConnection.rows does."""
    found = Found()
    for table in schema:
        if ask.tables is not None and table.name not in ask.tables:
            continue
        plan = plan_table(table, ask.columns, ask.mode, ask.query, ask.like_row_cap)
        if plan is not None:
            found.tables.append(_search_table(connection, plan, ask, frequencies, key))
    return found


def fetch_rows(
    connection: CustomerConnection, search: TableSearch, hits: Sequence[Hit], deadline: float
) -> dict[int, Row]:
    """The rows of these hits of one table, by position; a row that is gone meanwhile is left out."""
    by_key = _by_key(search, _run(connection, search.rows([hit.key for hit in hits]), deadline))
    return {hit.position: by_key[hit.key] for hit in hits if hit.key in by_key}


def _search_table(
    connection: CustomerConnection, plan: TableSearch, ask: Ask, frequencies: Frequencies, key: str
) -> TableFound:
    known: dict[str, int] = {}
    if not plan.by_like:
        terms = list(dict.fromkeys(term.text for term in terms_of(ask.query) if term.is_indexed))
        known = frequencies.read(key, plan, terms, lambda sql: _run(connection, sql, ask.deadline))
        if ask.mode == "natural":
            plan = plan.wanting([term for term in terms if known.get(term)])
    found = TableFound(plan, _rounded(plan.table.estimated_rows), known)
    # One row more than asked for tells whether counting is needed at all.
    rows = _run(connection, plan.hits(max(ask.depth, WINDOW) + 1), ask.deadline)
    found.hits = _hits(connection, plan, ask, rows[: max(ask.depth, WINDOW)])
    if len(rows) > max(ask.depth, WINDOW):
        _count(connection, found, ask)
    else:
        found.total = len(rows)
        _count_categories(found, len(rows) <= WINDOW, connection, ask)
    if plan.by_like and plan.table.estimated_rows * 2 > ask.like_row_cap:
        counted = _number(connection, scanned_rows(plan.table, ask.like_row_cap), ask.deadline)
        found.capped = counted > ask.like_row_cap
    return found


def _hits(connection: CustomerConnection, plan: TableSearch, ask: Ask, rows: Sequence[Row]) -> list[Hit]:
    names = plan.table.primary_key
    keys = [tuple(row[name] for name in names) for row in rows]
    texts: dict[tuple[object, ...], Row] = {}
    if names and keys:
        texts = _by_key(plan, _run(connection, plan.texts(keys[:WINDOW]), ask.deadline))
    hits = []
    for position, (row, key) in enumerate(zip(rows, keys, strict=True)):
        row.pop(SCORE)
        full = bool(row.pop(FULL))
        hits.append(
            Hit(
                plan,
                position,
                key or (position,),
                full,
                texts.get(key) if key else None,
                None if key else row,
            )
        )
    return hits


def _count(connection: CustomerConnection, found: TableFound, ask: Ask) -> None:
    """The number of all matches and, where they can be told apart, in the same statement that of each category."""
    if _count_by_category(connection, found, ask):
        found.total = found.categories.total()
    else:
        found.total = _number(connection, found.search.count(), ask.deadline)


def _count_categories(found: TableFound, all_read: bool, connection: CustomerConnection, ask: Ask) -> None:
    name = found.search.category_column
    if name is None:
        return
    if all_read or not found.search.table.primary_key:
        values = [(hit.texts or hit.row or {}).get(name) for hit in found.hits]
        found.categories = Counter(value if isinstance(value, str) else None for value in values)
    else:
        _count_by_category(connection, found, ask)


def _count_by_category(connection: CustomerConnection, found: TableFound, ask: Ask) -> bool:
    name = found.search.category_column
    if name is None:
        return False
    groups = _run(connection, found.search.count_by(name, _MOST_CATEGORIES + 1), ask.deadline)
    if len(groups) > _MOST_CATEGORIES:
        return False
    found.categories = Counter({row[VALUE]: int(row["n"]) for row in groups})
    return True


def _rounded(rows: int) -> int:
    """InnoDB's estimate moves by itself; a power of four stays, so that pages of one search are scored alike."""
    size = 1
    while size < rows:
        size *= 4
    return size


def _by_key(search: TableSearch, rows: Sequence[Row]) -> dict[tuple[object, ...], Row]:
    return {tuple(row[name] for name in search.table.primary_key): row for row in rows}


def _number(connection: CustomerConnection, sql: Sql, deadline: float) -> int:
    return int(_run(connection, sql, deadline)[0]["n"])


def _run(connection: CustomerConnection, sql: Sql, deadline: float) -> list[Row]:
    if time.monotonic() > deadline:
        raise StatementTimeoutError("the search took too long")
    return connection.rows(sql.text, sql.parameters)
