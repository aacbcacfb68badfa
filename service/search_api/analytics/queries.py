"""Which queries a user made: history, the frequent ones, those that found nothing."""

from collections import Counter
from typing import Any

from sqlalchemy import func, select

from search_api.analytics.days import within
from search_api.analytics.span import Span
from search_api.clock import rfc3339
from search_api.connections import list_connections
from search_api.models import SearchRecord
from search_api.services import Services

_MOST_LISTS = 1_000


def history(
    services: Services, user_id: str, span: Span | None, limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """A page of the user's searches, newest first, and the number of all of them.

    Items are ``{id, query, database, resultCount, executionTime, timestamp}`` and the additions ``databases``,
    ``searchMode``, ``cacheHit``, ``status``. ``database`` is the id of the database; of several, comma separated.
    """
    where = SearchRecord.user_id == user_id
    if span is not None:
        where = within(user_id, span.start, span.end)
    with services.session_with_records() as session:
        rows = session.scalars(
            select(SearchRecord)
            .where(where)
            .order_by(SearchRecord.created_at.desc(), SearchRecord.id.desc())
            .limit(limit)
            .offset(offset)
        ).all()
        total = session.scalar(select(func.count()).select_from(SearchRecord).where(where)) or 0
    return [_item(row) for row in rows], total


def popular_queries(services: Services, user_id: str, span: Span, limit: int) -> list[dict[str, Any]]:
    """``[{query_text, frequency, avg_time, avg_results, last_used}]``, the most frequent first."""
    number = func.count()
    with services.session_with_records() as session:
        rows = session.execute(
            select(
                SearchRecord.query_text,
                number,
                func.avg(SearchRecord.execution_ms),
                func.avg(SearchRecord.result_count),
                func.max(SearchRecord.created_at),
            )
            .where(within(user_id, span.start, span.end))
            .group_by(SearchRecord.query_text)
            .order_by(number.desc(), SearchRecord.query_text)
            .limit(limit)
        ).all()
    return [
        {
            "query_text": text,
            "frequency": frequency,
            "avg_time": round(float(milliseconds), 2),
            "avg_results": round(float(results), 2),
            "last_used": rfc3339(last),
        }
        for text, frequency, milliseconds, results, last in rows
    ]


def fruitless_queries(services: Services, user_id: str, span: Span, limit: int) -> list[tuple[str, int]]:
    """Queries that were answered with nothing: text and number, the most frequent first."""
    number = func.count()
    with services.session_with_records() as session:
        rows = session.execute(
            select(SearchRecord.query_text, number)
            .where(
                within(user_id, span.start, span.end),
                SearchRecord.status == "ok",
                SearchRecord.result_count == 0,
            )
            .group_by(SearchRecord.query_text)
            .order_by(number.desc(), SearchRecord.query_text)
            .limit(limit)
        ).all()
    return [(text, count) for text, count in rows]


def searched_databases(services: Services, user_id: str, span: Span) -> list[dict[str, Any]]:
    """The user's databases by how many searches went there: ``[{name, count}]``; those that are gone are left out."""
    number = func.count()
    with services.session_with_records() as session:
        rows = session.execute(
            select(SearchRecord.database_ids, number)
            .where(within(user_id, span.start, span.end))
            .group_by(SearchRecord.database_ids)
            .order_by(number.desc())
            .limit(_MOST_LISTS)
        ).all()
        names = {row.id: row.name for row in list_connections(session, user_id)}
    counts: Counter[str] = Counter()
    for ids, count in rows:
        for each in ids:
            if each in names:
                counts[each] += count
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{"name": names[each], "count": count} for each, count in ranked]


def _item(row: SearchRecord) -> dict[str, Any]:
    return {
        "id": row.id,
        "query": row.query_text,
        "database": ",".join(row.database_ids),
        "databases": row.database_ids,
        "searchMode": row.search_mode,
        "resultCount": row.result_count,
        "executionTime": row.execution_ms,
        "cacheHit": row.cache_hit,
        "status": row.status,
        "timestamp": rfc3339(row.created_at),
    }
