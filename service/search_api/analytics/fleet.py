"""Figures over all users, for administrators."""

from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from search_api.analytics.days import read_days, totals_of, within
from search_api.analytics.machine import look_at_machine, look_at_service, pool_share
from search_api.analytics.span import Span
from search_api.clock import now, rfc3339, uptime
from search_api.database import schema_fault
from search_api.models import DatabaseConnection, SearchRecord, SearchRollup, User
from search_api.services import Services

_TOP_USERS = 10


def system_overview(services: Services) -> dict[str, Any]:
    """``{totalUsers, totalSearches, totalDatabases, systemHealth:{status, uptime, memoryUsage, cpuUsage}}``.

    Searches are those of which a record or a sum is kept; usage is percent of the machine that answers.
    """
    kept_from = now() - timedelta(days=services.settings.search_record_days)
    with services.session_with_records() as session:
        users = session.scalar(select(func.count()).select_from(User).where(User.is_active))
        databases = session.scalar(
            select(func.count()).select_from(DatabaseConnection).where(DatabaseConnection.is_active)
        )
        recorded = session.scalar(
            select(func.count())
            .select_from(SearchRecord)
            .where(SearchRecord.created_at >= _midnight(kept_from))
        )
        rolled = session.scalar(
            select(func.coalesce(func.sum(SearchRollup.searches), 0)).where(
                SearchRollup.day < kept_from.date()
            )
        )
    machine = look_at_machine()
    return {
        "totalUsers": users or 0,
        "totalSearches": int(recorded or 0) + int(rolled or 0),
        "totalDatabases": databases or 0,
        "systemHealth": {
            "status": _status(services),
            "uptime": uptime(),
            "memoryUsage": machine.memory,
            "cpuUsage": machine.cpu,
        },
    }


def user_activity(services: Services, span: Span) -> dict[str, Any]:
    """``{activeUsers, newUsers, topUsers:[{userId, email, searchCount, lastActive}]}``; active is who searched."""
    number = func.count()
    searched = within(None, span.start, span.end)
    with services.session_with_records() as session:
        active = session.scalar(select(func.count(func.distinct(SearchRecord.user_id))).where(searched))
        new = session.scalar(
            select(func.count())
            .select_from(User)
            .where(User.created_at >= span.start, User.created_at < span.end)
        )
        top = session.execute(
            select(User.id, User.email, User.last_active, number)
            .join(SearchRecord, SearchRecord.user_id == User.id)
            .where(searched)
            .group_by(User.id, User.email, User.last_active)
            .order_by(number.desc(), User.id)
            .limit(_TOP_USERS)
        ).all()
    return {
        "activeUsers": active or 0,
        "newUsers": new or 0,
        "topUsers": [
            {"userId": user, "email": email, "searchCount": searches, "lastActive": rfc3339(last)}
            for user, email, last, searches in top
        ],
    }


def performance_metrics(services: Services, span: Span) -> dict[str, Any]:
    """``{system, api, database}``: usage in percent, times in milliseconds, ``errorRate`` a share from 0 to 1.

    The additions ``searches`` are of the span, everything else is of the machine that answers, now or since its start.
    """
    machine, served = look_at_machine(), look_at_service()
    totals = totals_of(read_days(services, None, span))
    return {
        "system": {
            "cpuUsage": machine.cpu,
            "memoryUsage": machine.memory,
            "diskUsage": machine.disk,
            "uptime": uptime(),
            "sources": {"cpuUsage": machine.cpu_source, "memoryUsage": machine.memory_source},
        },
        "api": {
            "requestsPerSecond": served.requests_per_second,
            "averageResponseTime": served.average_ms,
            "errorRate": served.error_rate,
        },
        "database": {
            "connectionPoolUsage": pool_share(services.settings, served.connections_in_use),
            "averageQueryTime": served.average_query_ms,
            "slowQueries": served.slow_queries,
        },
        "searches": {
            "total": totals.searches,
            "averageResponseTime": totals.average_ms,
            "successRate": totals.success_rate,
            "cacheHits": totals.cache_hits,
        },
    }


def _status(services: Services) -> str:
    try:
        if schema_fault(services.engine):
            return "unhealthy"
    except SQLAlchemyError:
        return "unhealthy"
    return "healthy" if services.cache.alive() else "degraded"


def _midnight(moment: Any) -> Any:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
