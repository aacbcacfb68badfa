"""A user's figures over a span, in the shapes of the published contract. Times are milliseconds."""

from collections import defaultdict
from datetime import date
from typing import Any

from sqlalchemy import func, select

from search_api.analytics.days import DayMode, Totals, read_days, totals_of
from search_api.analytics.insights import insights
from search_api.analytics.queries import popular_queries, searched_databases
from search_api.analytics.span import Span
from search_api.models import ApiKey, ApiKeyUse
from search_api.services import Services

_TOP = 5
_POPULAR = 10


def trend(services: Services, user_id: str, span: Span) -> dict[str, Any]:
    """``{period, topQueries, queryVolume, avgResponseTime, popularCategories}``: categories are the databases searched,
    as ``[{name, count}]``."""
    totals = totals_of(read_days(services, user_id, span))
    return {
        "period": span.period,
        "topQueries": [each["query_text"] for each in popular_queries(services, user_id, span, _TOP)],
        "queryVolume": totals.searches,
        "avgResponseTime": totals.average_ms,
        "popularCategories": searched_databases(services, user_id, span),
    }


def performance(services: Services, user_id: str, span: Span) -> dict[str, Any]:
    """``{timeSeriesData, searchModeDistribution, summary}``; days without searches are left out."""
    return _performance(read_days(services, user_id, span))


def dashboard(services: Services, user_id: str, span: Span) -> dict[str, Any]:
    """``{trends, performance, popularQueries, insights, summary}``; ``successRate`` is a share from 0 to 1."""
    days = read_days(services, user_id, span)
    totals = totals_of(days)
    popular = popular_queries(services, user_id, span, _POPULAR)
    databases = searched_databases(services, user_id, span)
    return {
        "trends": {
            "period": span.period,
            "topQueries": [each["query_text"] for each in popular[:_TOP]],
            "queryVolume": totals.searches,
            "avgResponseTime": totals.average_ms,
            "popularCategories": databases,
        },
        "performance": _performance(days),
        "popularQueries": popular,
        "insights": insights(services, user_id, span, days),
        "summary": {
            "totalQueries": totals.searches,
            "averageResponseTime": totals.average_ms,
            "successRate": totals.success_rate,
            "activeUsers": 1 if totals.searches else 0,
            "databasesSearched": len(databases),
            "topQuery": popular[0]["query_text"] if popular else None,
        },
    }


def patterns(services: Services, user_id: str, span: Span) -> dict[str, Any]:
    """``{period, queryVolume, popularCategories, searchPatterns, growth, dailyBreakdown}``.

    ``growth.queryVolume`` is the change in percent against the span of the same length before, null when that had none;
    the breakdown has every day.
    """
    days = read_days(services, user_id, span)
    searches, before = (
        totals_of(days).searches,
        totals_of(read_days(services, user_id, span.before())).searches,
    )
    a_day: dict[date, int] = defaultdict(int)
    for each in days:
        a_day[each.day] += each.searches
    return {
        "period": span.period,
        "queryVolume": searches,
        "popularCategories": searched_databases(services, user_id, span),
        "searchPatterns": [
            {"query": each["query_text"], "count": each["frequency"]}
            for each in popular_queries(services, user_id, span, _POPULAR)
        ],
        "growth": {"queryVolume": round((searches - before) / before * 100, 2) if before else None},
        "dailyBreakdown": [{"date": day.isoformat(), "queries": a_day[day]} for day in span.days],
    }


def usage(services: Services, user_id: str, span: Span) -> dict[str, Any]:
    """``{period, totalRequests, totalQueries, cacheHits, failedQueries, averageResponseTime, byMode, byKey}``.

    Requests are all uses of the user's API keys, after the counters of their hours.
    """
    days = read_days(services, user_id, span)
    totals = totals_of(days)
    modes: dict[str, int] = defaultdict(int)
    for each in days:
        modes[each.mode] += each.searches
    requests = func.sum(ApiKeyUse.requests)
    with services.session() as session:
        keys = session.execute(
            select(ApiKey.id, ApiKey.name, requests)
            .join(ApiKeyUse, ApiKeyUse.api_key_id == ApiKey.id)
            .where(ApiKey.user_id == user_id, ApiKeyUse.hour >= span.start, ApiKeyUse.hour < span.end)
            .group_by(ApiKey.id, ApiKey.name)
            .order_by(requests.desc(), ApiKey.id)
        ).all()
    return {
        "period": span.period,
        "totalRequests": sum(int(number) for _, _, number in keys),
        "totalQueries": totals.searches,
        "cacheHits": totals.cache_hits,
        "failedQueries": totals.failed,
        "averageResponseTime": totals.average_ms,
        "byMode": dict(modes),
        "byKey": [{"keyId": key, "name": name, "requests": int(number)} for key, name, number in keys],
    }


def _performance(days: list[DayMode]) -> dict[str, Any]:
    totals = totals_of(days)
    by_day: dict[date, list[DayMode]] = defaultdict(list)
    by_mode: dict[str, list[DayMode]] = defaultdict(list)
    for each in days:
        by_day[each.day].append(each)
        by_mode[each.mode].append(each)
    modes = [(mode, totals_of(found)) for mode, found in sorted(by_mode.items())]
    return {
        "timeSeriesData": [_point(day, totals_of(found)) for day, found in sorted(by_day.items())],
        "searchModeDistribution": [
            {"search_mode": mode, "count": found.searches, "avg_time": found.average_ms}
            for mode, found in modes
        ],
        "summary": {
            "totalQueries": totals.searches,
            "averageResponseTime": totals.average_ms,
            "averageResults": totals.average_results,
        },
    }


def _point(day: date, totals: Totals) -> dict[str, Any]:
    return {
        "date": day.isoformat(),
        "avg_response_time": totals.average_ms,
        "max_response_time": round(totals.max_ms, 2),
        "min_response_time": round(totals.min_ms, 2),
        "total_queries": totals.searches,
        "avg_results": totals.average_results,
    }
