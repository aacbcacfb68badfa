"""The answer to POST search: from the cache or from the databases, and always recorded."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from search_api.ai.client import AiCaller
from search_api.connections import choose_connections, pool_key
from search_api.errors import invalid
from search_api.models import DatabaseConnection
from search_api.search.one_database import Ask
from search_api.search.query import parse_boolean, parse_natural
from search_api.search.record import Made, record_search, trends_of_week
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


def answer_search(
    services: Services, user_id: str, api_key_id: str, question: SearchQuestion, tier: str = "free"
) -> dict[str, Any]:
    """The ``data`` of the answer. Raises ApiError as the contract names them; that search is recorded too."""
    _refuse_depth(services, question)
    started = time.perf_counter()
    with services.session() as session:
        rows = choose_connections(session, user_id, question.databases)
    status, data, hit = "failed", None, False
    try:
        data, hit = _cached(services, AiCaller(user_id, api_key_id, tier), rows, question)
        status = "ok"
    finally:
        milliseconds = round((time.perf_counter() - started) * 1000, 2)
        made = Made(
            user_id=user_id,
            api_key_id=api_key_id,
            query=question.query,
            mode=question.mode,
            database_ids=[row.id for row in rows],
            results=data["totalCount"] if data else 0,
            milliseconds=milliseconds,
            cache_hit=hit,
            status=status,
        )
        record_search(services, made)
    data |= {"executionTime": milliseconds, "cache": "hit" if hit else "miss"}
    if question.with_trends:
        data["trends"] = trends_of_week(services, user_id)
    return data


def _cached(
    services: Services, caller: AiCaller, rows: Sequence[DatabaseConnection], question: SearchQuestion
) -> tuple[dict[str, Any], bool]:
    def make() -> tuple[bytes, bool]:
        data, complete = _search(services, caller, rows, question)
        return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode(), complete

    seconds = services.settings.cache_search_seconds
    if not seconds:
        return json.loads(make()[0]), False
    packed, hit = services.cache.get_or_make(_KIND, _cache_key(caller.user_id, rows, question), seconds, make)
    return json.loads(packed), hit


def _cache_key(user_id: str, rows: Sequence[DatabaseConnection], question: SearchQuestion) -> str:
    """Owner first: no two tenants ever share an entry. A changed connection makes other keys."""
    parts = [
        question.query,
        question.mode,
        question.limit,
        question.offset,
        sorted(question.tables) if question.tables is not None else None,
        sorted(question.columns) if question.columns is not None else None,
        [pool_key(row) for row in rows],
    ]
    return f"{user_id}:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"


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
    data = {
        "results": page.results,
        "categories": _categories(page.results),
        "suggestions": [],
        "queryOptimization": [],
        "totalCount": page.total,
        "totalCountCapped": page.capped,
        "hasMore": page.total > ask.depth,
        "executionTime": 0,
        "page": question.offset // question.limit + 1,
        "limit": question.limit,
        "modeUsed": "semantic" if order and not reason else mode,
        "degraded": [*([reason] if reason else []), *page.degraded],
        "cache": "miss",
        "databases": page.databases,
    }
    return data, page.complete and not (order and order.may_improve)


def _categories(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    counts = Counter(name for result in results for name in result["categories"])
    return [{"name": name, "count": count, "confidence": 1.0} for name, count in counts.most_common()]


def _refuse_depth(services: Services, question: SearchQuestion) -> None:
    deepest = services.settings.search_max_depth
    if question.offset + question.limit > deepest:
        raise invalid("offset", f"with limit reaches beyond {deepest} results; refine the query", "too_deep")
