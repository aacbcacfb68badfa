"""A whole search: every chosen database at once, one order over all of them, one page out of it."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from search_api.connections import pool_key, target_of
from search_api.customer.connect import CannotConnectError
from search_api.customer.pools import CustomerConnection, StatementFailedError, StatementTimeoutError
from search_api.customer.schema import Table
from search_api.errors import ApiError, invalid
from search_api.models import DatabaseConnection
from search_api.search.one_database import WINDOW, Ask, Found, Hit, fetch_rows, search_database
from search_api.search.query import terms_of
from search_api.search.shape import shape_result, words_pattern
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
    """A match in its place, with its row as far as it is read."""

    outcome: Outcome
    hit: Hit
    score: float
    row: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Its searched columns, one a line; empty behind the window."""
        values = (self.row.get(name) for name in self.hit.search.columns)
        return "\n".join(value for value in values if isinstance(value, str))

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
    total: int
    capped: bool
    degraded: list[str]
    databases: list[dict[str, str]]
    complete: bool


def run_search(
    services: Services,
    rows: Sequence[DatabaseConnection],
    ask: Ask,
    offset: int,
    reorder: Reorder | None = None,
) -> Page:
    """Search the databases and cut out the page from ``offset`` to ``ask.depth``.

    A database that fails is reported and the others answer. Raises 502 SEARCH_FAILED or 504 SEARCH_TIMEOUT when all
    fail, and 400 VALIDATION_ERROR when the tables or columns asked for are in none of them.
    """
    outcomes = _for_each(services, rows, ask)
    _refuse_total_failure(outcomes)
    _refuse_unknown_names(outcomes, ask)
    candidates = _ranked(outcomes)
    if reorder is not None:
        candidates = reorder([*_with_rows(services, candidates[:WINDOW], ask), *candidates[WINDOW:]])
    results = _results(services, candidates[offset : ask.depth], ask)
    return Page(
        results=results,
        total=sum(outcome.found.total for outcome in outcomes),
        capped=any(outcome.found.capped for outcome in outcomes),
        degraded=_degraded(outcomes),
        databases=[outcome.described() for outcome in outcomes],
        complete=all(outcome.status == "ok" for outcome in outcomes),
    )


def _ranked(outcomes: Sequence[Outcome]) -> list[Candidate]:
    candidates = [Candidate(outcome, hit, hit.score) for outcome in outcomes for hit in outcome.found.hits]
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
            outcome.found = search_database(connection, schema, ask)
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


def _results(services: Services, page: Sequence[Candidate], ask: Ask) -> list[dict[str, Any]]:
    pattern = words_pattern(terms_of(ask.query))
    return [
        shape_result(
            database_id=candidate.outcome.row.id,
            table=candidate.hit.search.table.name,
            key=candidate.hit.key,
            score=candidate.score,
            row=candidate.row,
            columns=candidate.hit.search.columns,
            pattern=pattern,
        )
        for candidate in _with_rows(services, page, ask)
        if candidate.row
    ]


def _with_rows(services: Services, candidates: Sequence[Candidate], ask: Ask) -> list[Candidate]:
    """The candidates with their rows, read where they were not yet; the row is empty when it is gone meanwhile."""
    rows: dict[Place, dict[str, Any]] = {}
    wanted: dict[str, tuple[Outcome, dict[str, list[Hit]]]] = {}
    for candidate in candidates:
        hit, outcome = candidate.hit, candidate.outcome
        if hit.row is not None:
            rows[candidate.place] = hit.row
        elif not candidate.row:
            tables = wanted.setdefault(outcome.row.id, (outcome, {}))[1]
            tables.setdefault(hit.search.table.name, []).append(hit)
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
    _refuse_total_failure([candidate.outcome for candidate in candidates])
    return [replace(candidate, row=rows.get(candidate.place, candidate.row)) for candidate in candidates]


def _degraded(outcomes: Sequence[Outcome]) -> list[str]:
    reasons = []
    if any(outcome.status != "ok" for outcome in outcomes):
        reasons.append("database_unavailable")
    if any(outcome.found.like_tables for outcome in outcomes):
        reasons.append("no_fulltext_index")
    if any(outcome.found.capped for outcome in outcomes):
        reasons.append("row_cap")
    return reasons


def new_deadline(services: Services) -> float:
    """When a search that starts now must be over, in monotonic seconds."""
    return time.monotonic() + services.settings.customer_deadline
