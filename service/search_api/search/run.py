"""A whole search: every chosen database at once, one order over all of them, one page out of it."""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from search_api.connections import pool_key, target_of
from search_api.customer.connect import CannotConnectError
from search_api.customer.pools import CustomerConnection, StatementFailedError, StatementTimeoutError
from search_api.customer.schema import Table
from search_api.errors import ApiError, invalid
from search_api.models import DatabaseConnection
from search_api.search.one_database import Ask, Found, Hit, fetch_rows, search_database
from search_api.search.query import terms_of
from search_api.search.semantic import Candidate, Semantic
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
class Page:
    """The part of an answer that comes from the databases. ``semantic``: the AI put it in order."""

    results: list[dict[str, Any]]
    total: int
    capped: bool
    degraded: list[str]
    databases: list[dict[str, str]]
    complete: bool
    semantic: bool


Place = tuple[str, str, int]
Rows = dict[Place, dict[str, Any]]
Match = tuple[Hit, Outcome]


def run_search(
    services: Services,
    rows: Sequence[DatabaseConnection],
    ask: Ask,
    offset: int,
    semantic: Semantic | None = None,
) -> Page:
    """Search the databases and cut out the page from ``offset`` to ``ask.depth``.

    With ``semantic`` the best matches are put in its order; those beyond them follow in the order of the words, so that
    pages fit together wherever they are cut.
    A database that fails is reported and the others answer. Raises 502 SEARCH_FAILED or 504 SEARCH_TIMEOUT when all
    fail, and 400 VALIDATION_ERROR when the tables or columns asked for are in none of them.
    """
    deepest = max(ask.depth, semantic.candidates) if semantic else ask.depth
    outcomes = _for_each(services, rows, replace(ask, depth=deepest))
    _refuse_total_failure(outcomes)
    _refuse_unknown_names(outcomes, ask)
    ranked: list[Match] = sorted(
        ((hit, outcome) for outcome in outcomes for hit in outcome.found.hits),
        key=lambda pair: (-pair[0].score, pair[1].row.id, pair[0].search.table.name, pair[0].position),
    )
    rows_read: Rows = {}
    reason: str | None = None
    if semantic:
        head = slice(semantic.candidates)
        ranked[head], rows_read, reason = _reranked(services, ranked[head], ask, offset, semantic)
    results = _results(services, ranked[offset : ask.depth], ask, rows_read)
    return Page(
        results=results,
        total=sum(outcome.found.total for outcome in outcomes),
        capped=any(outcome.found.capped for outcome in outcomes),
        degraded=[*([reason] if reason else []), *_degraded(outcomes)],
        semantic=semantic is not None and reason is None,
        databases=[outcome.described() for outcome in outcomes],
        # What the AI did not help with now it may help with in a moment; only its being off is for good.
        complete=all(outcome.status == "ok" for outcome in outcomes)
        and (reason is None or not services.settings.ai_base_url),
    )


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


def _reranked(
    services: Services, head: list[Match], ask: Ask, offset: int, semantic: Semantic
) -> tuple[list[Match], Rows, str | None]:
    """The best matches in semantic order and with new scores, their rows, and why the order is still the words'."""
    if not services.ai.switched_on:
        return head, {}, "ai_unavailable"
    if len(head) < 2 or offset >= len(head):
        return head, {}, None  # nothing on this page can move
    rows = _rows_of_page(services, head, ask)
    texts = [
        ". ".join(text for name in hit.search.columns if isinstance(text := row.get(name), str))
        for hit, outcome in head
        for row in [rows.get(_place(hit, outcome), {})]
    ]
    made = semantic.rerank(
        services, [Candidate(hit.score, text) for (hit, _), text in zip(head, texts, strict=True)]
    )
    moved = [
        (replace(head[number][0], score=score), head[number][1])
        for number, score in zip(made.order, made.scores, strict=True)
    ]
    return moved, rows, made.degraded


def _results(services: Services, page: Sequence[Match], ask: Ask, rows: Rows) -> list[dict[str, Any]]:
    rows |= _rows_of_page(services, [match for match in page if _place(*match) not in rows], ask)
    pattern = words_pattern(terms_of(ask.query))
    return [
        shape_result(
            database_id=outcome.row.id,
            table=hit.search.table.name,
            key=hit.key,
            score=hit.score,
            row=row,
            columns=hit.search.columns,
            pattern=pattern,
        )
        for hit, outcome in page
        if (row := rows.get(_place(hit, outcome)))
    ]


def _rows_of_page(services: Services, page: Sequence[Match], ask: Ask) -> Rows:
    rows: Rows = {}
    wanted: dict[str, tuple[Outcome, dict[str, list[Hit]]]] = {}
    for hit, outcome in page:
        if hit.row is not None:
            rows[_place(hit, outcome)] = hit.row
        else:
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
    _refuse_total_failure([outcome for _, outcome in page])
    return rows


def _place(hit: Hit, outcome: Outcome) -> Place:
    return outcome.row.id, hit.search.table.name, hit.position


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
