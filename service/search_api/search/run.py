"""A whole search: every chosen database at once, one order over all of them, one page out of it."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from search_api.connections import pool_key, target_of
from search_api.customer.connect import CannotConnectError
from search_api.customer.pools import CustomerConnection, StatementFailedError, StatementTimeoutError
from search_api.customer.schema import Table
from search_api.errors import ApiError, invalid
from search_api.models import DatabaseConnection
from search_api.search.categories import categories_of, category_of
from search_api.search.one_database import Ask, Found, Hit, TableFound, fetch_rows, search_database
from search_api.search.query import terms_of
from search_api.search.rank import Weights, relevances, weights_of
from search_api.search.shape import shape_result
from search_api.search.words import WordFinder
from search_api.services import Services
from search_api.vault import UnreadableCredentialError

_AT_ONCE = 8


@dataclass
class Outcome:
    """What became of one database: ``ok``, ``error`` or ``timeout``, with a reason for its owner."""

    row: DatabaseConnection
    status: str = "ok"
    error: str | None = None
    found: Found = field(default_factory=Found)

    def described(self) -> dict[str, str]:
        """Its entry in ``databases``."""
        entry = {"id": self.row.id, "status": self.status}
        if self.error is not None:
            entry["error"] = self.error
        return entry


@dataclass(frozen=True)
class Candidate:
    """A match in its place: ``score`` is its relevance from 0 to 1, comparable over all tables and databases."""

    outcome: Outcome
    table: TableFound
    hit: Hit
    score: float

    @property
    def text(self) -> str:
        """The beginnings of its searched columns, one a line; empty behind each table's window."""
        return "\n".join(self.hit.searched_texts.values())

    @property
    def place(self) -> "Place":
        """What tells it from all others of the search; ties of the score are put in this order."""
        return self.outcome.row.id, self.hit.search.table.name, self.hit.position


Place = tuple[str, str, int]
# Puts all candidates, which come in their order, into another one; what it leaves out is not shown.
Reorder = Callable[[list[Candidate]], list[Candidate]]


@dataclass(frozen=True)
class Page:
    """The part of an answer that depends on the databases only."""

    results: list[dict[str, Any]]
    categories: list[dict[str, Any]]
    total: int
    capped: bool
    degraded: list[str]
    databases: list[dict[str, str]]
    complete: bool
    tables: list[TableFound]


def run_search(
    services: Services,
    rows: Sequence[DatabaseConnection],
    ask: Ask,
    offset: int,
    reorder: Reorder | None = None,
) -> Page:
    """Search the databases, bring all matches into one order, and cut out the page from ``offset`` to ``ask.depth``.

    A database that fails is reported and the others answer. Raises 502 SEARCH_FAILED or 504 SEARCH_TIMEOUT when all
    fail, and 400 VALIDATION_ERROR when the tables or columns asked for are in none of them.
    """
    outcomes = _for_each(services, rows, ask)
    _refuse_total_failure(outcomes)
    _refuse_unknown_names(outcomes, ask)
    tables = [table for outcome in outcomes for table in outcome.found.tables]
    weights = weights_of(terms_of(ask.query), tables)
    candidates = _ranked(outcomes, weights)
    if reorder is not None:
        candidates = reorder(candidates)
    results = _results(services, candidates[offset : ask.depth], ask, weights.finder)
    return Page(
        results=results,
        categories=categories_of(tables),
        total=sum(outcome.found.total for outcome in outcomes),
        capped=any(outcome.found.capped for outcome in outcomes),
        degraded=_degraded(outcomes),
        databases=[outcome.described() for outcome in outcomes],
        complete=all(outcome.status == "ok" for outcome in outcomes),
        tables=tables,
    )


def _ranked(outcomes: Sequence[Outcome], weights: Weights) -> list[Candidate]:
    candidates = [
        Candidate(outcome, table, hit, score)
        for outcome in outcomes
        for table in outcome.found.tables
        for hit, score in zip(table.hits, relevances(table, weights), strict=True)
    ]
    return sorted(candidates, key=lambda candidate: (-candidate.score, candidate.place))


def _for_each(services: Services, rows: Sequence[DatabaseConnection], ask: Ask) -> list[Outcome]:
    outcomes = [Outcome(row) for row in rows]
    if len(outcomes) == 1:
        _search_one(services, outcomes[0], ask)
    elif outcomes:
        with ThreadPoolExecutor(min(_AT_ONCE, len(outcomes)), thread_name_prefix="search") as executor:
            waiting: list[Future[None]] = [
                executor.submit(_search_one, services, outcome, ask) for outcome in outcomes
            ]
        for future in waiting:
            future.result()
    return outcomes


def _search_one(services: Services, outcome: Outcome, ask: Ask) -> None:
    row = outcome.row
    try:
        with services.pools.borrow(pool_key(row), target_of(row, services.vault)) as connection:
            schema = _schema(services, row, connection)
            outcome.found = search_database(connection, schema, ask, services.frequencies, pool_key(row))
    except StatementTimeoutError as error:
        outcome.status, outcome.error = "timeout", str(error)
    except (CannotConnectError, StatementFailedError, UnreadableCredentialError) as error:
        outcome.status, outcome.error = "error", str(error)
    except ApiError as error:
        outcome.status, outcome.error = "error", error.message


def _schema(services: Services, row: DatabaseConnection, connection: CustomerConnection) -> tuple[Table, ...]:
    return services.schemas.read(pool_key(row), connection, row.database)


def _refuse_total_failure(outcomes: Sequence[Outcome]) -> None:
    if not outcomes or any(outcome.status == "ok" for outcome in outcomes):
        return
    details = {"databases": [outcome.described() for outcome in outcomes]}
    if all(outcome.status == "timeout" for outcome in outcomes):
        raise ApiError(504, "SEARCH_TIMEOUT", "The search took too long on every database.", details=details)
    raise ApiError(502, "SEARCH_FAILED", "The search failed on every database.", details=details)


def _refuse_unknown_names(outcomes: Sequence[Outcome], ask: Ask) -> None:
    if (ask.tables is None and ask.columns is None) or not outcomes:
        return
    reached = [outcome for outcome in outcomes if outcome.status == "ok"]
    if len(reached) == len(outcomes) and not any(outcome.found.names_known for outcome in reached):
        field_name = "columns" if ask.columns is not None else "tables"
        raise invalid(field_name, "none of the databases has a searchable table like this", "unknown_name")


def _results(
    services: Services, page: Sequence[Candidate], ask: Ask, finder: WordFinder
) -> list[dict[str, Any]]:
    rows = _rows_of_page(services, page, ask)
    return [
        shape_result(
            database_id=one.outcome.row.id,
            table=one.hit.search.table.name,
            key=one.hit.key,
            score=one.score,
            row=row,
            columns=one.hit.search.columns,
            finder=finder,
            by_like=one.hit.search.by_like,
            category=category_of(one.table, one.hit),
        )
        for one in page
        if (row := rows.get(one.place))
    ]


def _rows_of_page(services: Services, page: Sequence[Candidate], ask: Ask) -> dict[Place, dict[str, Any]]:
    rows: dict[Place, dict[str, Any]] = {}
    wanted: dict[str, tuple[Outcome, dict[str, list[Hit]]]] = {}
    for one in page:
        if one.hit.row is not None:
            rows[one.place] = one.hit.row
        else:
            tables = wanted.setdefault(one.outcome.row.id, (one.outcome, {}))[1]
            tables.setdefault(one.hit.search.table.name, []).append(one.hit)
    for outcome, tables in wanted.values():
        try:
            with services.pools.borrow(
                pool_key(outcome.row), target_of(outcome.row, services.vault)
            ) as connection:
                for name, hits in tables.items():
                    for position, row in fetch_rows(connection, hits[0].search, hits, ask.deadline).items():
                        rows[outcome.row.id, name, position] = row
        except (CannotConnectError, StatementFailedError, StatementTimeoutError) as error:
            outcome.status, outcome.error = "error", str(error)
    _refuse_total_failure([one.outcome for one in page])
    return rows


def _degraded(outcomes: Sequence[Outcome]) -> list[str]:
    reasons = []
    if any(outcome.status != "ok" for outcome in outcomes):
        reasons.append("database_unavailable")
    if any(table.search.by_like for outcome in outcomes for table in outcome.found.tables):
        reasons.append("no_fulltext_index")
    if any(outcome.found.capped for outcome in outcomes):
        reasons.append("row_cap")
    return reasons


def new_deadline(services: Services) -> float:
    """When a search that starts now must be over, in monotonic seconds."""
    return time.monotonic() + services.settings.customer_deadline
