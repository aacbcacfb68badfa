"""The answer to POST search: from the cache or from the databases, and always recorded."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

from search_api.ai.client import AiCaller
from search_api.analytics.figures import trend
from search_api.analytics.span import span_of
from search_api.connections import choose_connections, list_connections
from search_api.errors import invalid
from search_api.models import DatabaseConnection
from search_api.owned_connections import state_of
from search_api.records import Made
from search_api.search.one_database import Ask
from search_api.search.optimization import explain_query
from search_api.search.query import parse_boolean, parse_natural
from search_api.search.run import new_deadline, run_search
from search_api.search.semantic import SemanticOrder
from search_api.search.statements import Mode
from search_api.services import Services

_KIND = "search"
SearchMode = Literal["natural", "boolean", "semantic"]


@dataclass(frozen=True)
class SearchQuestion:
    """A valid request. ``databases``, ``tables`` and ``columns`` are None when all are meant."""

    query: str
    databases: tuple[str, ...] | None
    tables: frozenset[str] | None
    columns: frozenset[str] | None
    mode: SearchMode
    limit: int
    offset: int
    with_trends: bool


@dataclass(frozen=True)
class Asked:
    """Who asks what. ``state`` names the state of the owner's connections, empty when it is not known; ``tier`` is the
    key's, which decides how many calls to the AI it may cause.

    ``started`` is the performance counter at the beginning of the request.
    """

    user_id: str
    api_key_id: str
    question: SearchQuestion
    digest: str
    state: str
    started: float
    tier: str = "free"


@dataclass(frozen=True)
class Answer:
    """``data`` is JSON. ``milliseconds`` is the time that the search took."""

    data: bytes
    milliseconds: float


def digest_of(question: SearchQuestion) -> str:
    """The same for questions that have the same answer. An entry of the cache is named by owner, state and digest."""
    parts = [
        question.query,
        question.mode,
        question.limit,
        question.offset,
        sorted(question.tables) if question.tables is not None else None,
        sorted(question.columns) if question.columns is not None else None,
        sorted(question.databases) if question.databases is not None else None,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def answer_cached(services: Services, asked: Asked, packed: bytes) -> Answer:
    """The answer that the admission found in the cache. Nothing waits: this runs on the event loop."""
    head, _, opened = packed.partition(b"\n")
    results, database_ids = _head(head)
    milliseconds = _record(services, asked, database_ids, results, "ok", hit=True)
    return Answer(_closed(opened, milliseconds, hit=True, trends=None), milliseconds)


def answer_search(services: Services, asked: Asked, packed: bytes | None = None) -> Answer:
    """The answer, from ``packed`` when the cache had it. Raises ApiError as the contract names them; that search is
    recorded too.
    """
    question = asked.question
    _refuse_depth(services, question)
    hit, status, results = packed is not None, "failed", 0
    rows = [] if hit else choose_connections(_connections(services, asked), question.databases)
    database_ids = [row.id for row in rows]
    try:
        packed = _made(services, asked, rows) if packed is None else packed
        head, _, opened = packed.partition(b"\n")
        results, database_ids = _head(head)
        status = "ok"
    finally:
        milliseconds = _record(services, asked, database_ids, results, status, hit=hit)
    trends = trend(services, asked.user_id, span_of("week")) if question.with_trends else None
    return Answer(_closed(opened, milliseconds, hit=hit, trends=trends), milliseconds)


def warm_search(services: Services, user_id: str, question: SearchQuestion) -> bool:
    """Cache the answer when it is not cached yet; gives whether it had to be made. It is not recorded.

    A question that names all of the owner's databases is cached for those who name none as well. Raises ApiError as a
    search does, also when a database of the question is not there any more.
    """
    state = state_of(services.cache, user_id)
    if not state:
        return False
    asked = Asked(user_id, "", question, digest_of(question), state, time.perf_counter())
    owned = _connections(services, asked)
    rows = choose_connections(owned, question.databases)
    if not rows or services.cache.get(_KIND, _name(asked)) is not None:
        return False
    packed = _made(services, asked, rows)
    if len(rows) == len(owned) and question.databases is not None:
        unnamed = replace(asked, digest=digest_of(replace(question, databases=None)))
        services.cache.put(_KIND, _name(unnamed), packed, services.settings.cache_search_seconds)
    return True


def _name(asked: Asked) -> str:
    """Owner first: no two tenants ever share an entry. A changed connection makes other names."""
    return f"{asked.user_id}:{asked.state}:{asked.digest}"


def _connections(services: Services, asked: Asked) -> Sequence[DatabaseConnection]:
    rows = services.owned.find(asked.user_id, asked.state)
    if rows is None:
        with services.session() as session:
            rows = list_connections(session, asked.user_id)
        services.owned.keep(asked.user_id, asked.state, rows)
    return rows


def _made(services: Services, asked: Asked, rows: Sequence[DatabaseConnection]) -> bytes:
    def make() -> tuple[bytes, bool]:
        caller = AiCaller(asked.user_id, asked.api_key_id, asked.tier)
        data, complete = _search(services, caller, rows, asked.question)
        return _packed(data, [row.id for row in rows]), complete

    seconds = services.settings.cache_search_seconds
    if not seconds or not asked.state:
        return make()[0]
    return services.cache.make_once(_KIND, _name(asked), seconds, make)


def _packed(data: dict[str, Any], database_ids: Sequence[str]) -> bytes:
    """What the record needs, a line break, and the data as JSON without its last brace, so that more can be added."""
    head = json.dumps([data["totalCount"], database_ids], separators=(",", ":"))
    whole = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return f"{head}\n{whole[:-1]}".encode()


@lru_cache(maxsize=1024)
def _head(head: bytes) -> tuple[int, list[str]]:
    results, database_ids = json.loads(head)
    return results, database_ids


def _closed(opened: bytes, milliseconds: float, *, hit: bool, trends: dict[str, Any] | None) -> bytes:
    more = b"" if trends is None else b',"trends":' + json.dumps(trends).encode()
    outcome = b"hit" if hit else b"miss"
    return b'%b,"executionTime":%b,"cache":"%b"%b}' % (opened, repr(milliseconds).encode(), outcome, more)


def _record(
    services: Services, asked: Asked, database_ids: list[str], results: int, status: str, *, hit: bool
) -> float:
    milliseconds = round((time.perf_counter() - asked.started) * 1000, 2)
    services.records.add(
        Made(
            user_id=asked.user_id,
            api_key_id=asked.api_key_id,
            query=asked.question.query,
            mode=asked.question.mode,
            database_ids=database_ids,
            results=results,
            milliseconds=milliseconds,
            cache_hit=hit,
            status=status,
        )
    )
    return milliseconds


def _search(
    services: Services, caller: AiCaller, rows: Sequence[DatabaseConnection], question: SearchQuestion
) -> tuple[dict[str, Any], bool]:
    mode: Mode = "boolean" if question.mode == "boolean" else "natural"
    ask = Ask(
        query=parse_boolean(question.query) if mode == "boolean" else parse_natural(question.query),
        mode=mode,
        tables=question.tables,
        columns=question.columns,
        depth=question.offset + question.limit,
        like_row_cap=services.settings.like_row_cap,
        deadline=new_deadline(services),
    )
    order = None
    if question.mode == "semantic":
        order = SemanticOrder(services, caller, question.query, question.offset)
    page = run_search(services, rows, ask, question.offset, order)
    reason = order.degraded if order else None
    optimization, suggestions = explain_query(
        question.query,
        ask,
        page.tables,
        page.total,
        lambda: services.vocabularies.read(rows, question.tables),
    )
    data = {
        "results": page.results,
        "categories": page.categories,
        "suggestions": suggestions,
        "queryOptimization": optimization,
        "totalCount": page.total,
        "totalCountCapped": page.capped,
        "hasMore": page.total > ask.depth,
        "page": question.offset // question.limit + 1,
        "limit": question.limit,
        "modeUsed": "semantic" if order and not reason else mode,
        "degraded": [*([reason] if reason else []), *page.degraded],
        "databases": page.databases,
    }
    return data, page.complete and not (order and order.may_improve)


def _refuse_depth(services: Services, question: SearchQuestion) -> None:
    deepest = services.settings.search_max_depth
    if question.offset + question.limit > deepest:
        raise invalid("offset", f"with limit reaches beyond {deepest} results; refine the query", "too_deep")
