"""A search on one of the user's databases."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from search_api.customer.pools import CustomerConnection, Row, StatementTimeoutError
from search_api.customer.schema import Table
from search_api.search.query import Group
from search_api.search.statements import Mode, Sql, TableSearch, plan_table, scanned_rows

_SCORE = "lg score"
WINDOW = 120  # rows of a table that are looked at closely: several pages, read in about a millisecond


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
    """A matching row: its key, or all of it when its table has no key."""

    search: TableSearch
    score: float
    position: int
    key: tuple[object, ...]
    row: Row | None


@dataclass
class Found:
    """What one database holds for a search."""

    hits: list[Hit] = field(default_factory=list)
    total: int = 0
    capped: bool = False
    like_tables: list[str] = field(default_factory=list)
    names_known: bool = False


def search_database(connection: CustomerConnection, schema: Sequence[Table], ask: Ask) -> Found:
    """The best rows of each table and the number of all. Raises as CustomerConnection.rows does."""
    found = Found()
    for table in schema:
        if ask.tables is not None and table.name not in ask.tables:
            continue
        plan = plan_table(table, ask.columns, ask.mode, ask.query, ask.like_row_cap)
        if plan is None:
            continue
        found.names_known = True
        _search_table(connection, plan, ask, found)
    return found


def fetch_rows(
    connection: CustomerConnection, search: TableSearch, hits: Sequence[Hit], deadline: float
) -> dict[int, Row]:
    """The rows of these hits of one table, by position; a row that is gone meanwhile is left out."""
    rows = _run(connection, search.rows([hit.key for hit in hits]), deadline)
    by_key = {tuple(row[name] for name in search.table.primary_key): row for row in rows}
    return {hit.position: by_key[hit.key] for hit in hits if hit.key in by_key}


def _search_table(connection: CustomerConnection, plan: TableSearch, ask: Ask, found: Found) -> None:
    # One row more than asked for tells whether counting is needed at all.
    depth = max(ask.depth, WINDOW)
    rows = _run(connection, plan.hits(depth + 1), ask.deadline)
    found.total += len(rows) if len(rows) <= depth else _number(connection, plan.count(), ask.deadline)
    for position, row in enumerate(rows[:depth]):
        score = float(row.pop(_SCORE) or 0.0)
        key = tuple(row[name] for name in plan.table.primary_key)
        found.hits.append(Hit(plan, score, position, key or (position,), None if key else row))
    if plan.by_like:
        found.like_tables.append(plan.table.name)
        if plan.table.estimated_rows * 2 > ask.like_row_cap:
            counted = _number(connection, scanned_rows(plan.table, ask.like_row_cap), ask.deadline)
            found.capped = found.capped or counted > ask.like_row_cap


def _number(connection: CustomerConnection, sql: Sql, deadline: float) -> int:
    return int(_run(connection, sql, deadline)[0]["n"])


def _run(connection: CustomerConnection, sql: Sql, deadline: float) -> list[Row]:
    if time.monotonic() > deadline:
        raise StatementTimeoutError("the search took too long")
    return connection.rows(sql.text, sql.parameters)
