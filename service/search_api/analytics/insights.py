"""What stands out in a user's searches, each with what to do about it."""

from typing import Any

from search_api.analytics.days import DayMode, read_days, totals_of
from search_api.analytics.queries import fruitless_queries
from search_api.analytics.span import Span
from search_api.services import Services

_FEWEST = 10  # searches; fewer say little
_FAILED_SHARE = 0.05
_SLOW_MS = 1_000
_SHOWN = 5


def insights(
    services: Services, user_id: str, span: Span, days: list[DayMode] | None = None
) -> list[dict[str, Any]]:
    """``[{type, confidence, description, actionable, data}]``, the surest first.

    ``confidence`` from 0 to 1 grows with the number of searches n that an insight stands on: n / (n + 10).
    """
    days = read_days(services, user_id, span) if days is None else days
    found = [
        *_fruitless(services, user_id, span),
        *_failing(days),
        *_slow(days),
        *_growing(services, user_id, span, days),
    ]
    return sorted(found, key=lambda each: (-each["confidence"], each["type"]))


def _fruitless(services: Services, user_id: str, span: Span) -> list[dict[str, Any]]:
    queries = fruitless_queries(services, user_id, span, _SHOWN)
    if not queries:
        return []
    number = sum(count for _, count in queries)
    data = {"queries": [{"query": text, "count": count} for text, count in queries]}
    return [
        _insight(
            "no_results", number, "searches that found nothing; see the suggestions of these queries", data
        )
    ]


def _failing(days: list[DayMode]) -> list[dict[str, Any]]:
    totals = totals_of(days)
    if totals.searches < _FEWEST or totals.failed < _FAILED_SHARE * totals.searches:
        return []
    data = {"failed": totals.failed, "searches": totals.searches}
    return [
        _insight("failures", totals.searches, "many searches failed; test the database connections", data)
    ]


def _slow(days: list[DayMode]) -> list[dict[str, Any]]:
    totals = totals_of(days)
    if totals.searches < _FEWEST or totals.average_ms < _SLOW_MS:
        return []
    data = {"averageResponseTime": totals.average_ms, "slowest": round(totals.max_ms, 2)}
    text = "searches are slow; POST search/analyze names the indexes that are missing"
    return [_insight("slow_searches", totals.searches, text, data)]


def _growing(services: Services, user_id: str, span: Span, days: list[DayMode]) -> list[dict[str, Any]]:
    searches = totals_of(days).searches
    before = totals_of(read_days(services, user_id, span.before())).searches
    if searches + before < _FEWEST or not before or 0.5 < searches / before < 2:
        return []
    change = round((searches - before) / before * 100, 2)
    data = {"searches": searches, "before": before, "changePercent": change}
    return [_insight("volume", searches + before, f"{abs(change):g} % {'more' if change > 0 else 'fewer'} searches "
                     "than in the time before", data, actionable=False)]  # fmt: skip


def _insight(
    kind: str, number: int, description: str, data: dict[str, Any], *, actionable: bool = True
) -> dict[str, Any]:
    return {
        "type": kind,
        "confidence": round(number / (number + 10), 4),
        "description": description,
        "actionable": actionable,
        "data": data,
    }
