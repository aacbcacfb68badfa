"""What the records of searches say about a user's week."""

from datetime import timedelta
from typing import Any

from sqlalchemy import func, select

from search_api.clock import now
from search_api.models import SearchRecord
from search_api.services import Services

_TOP = 5


def trends_of_week(services: Services, user_id: str) -> dict[str, Any]:
    """The user's own last seven days: ``{period, topQueries, queryVolume, avgResponseTime, popularCategories}``."""
    services.records.flush()
    recent = (SearchRecord.user_id == user_id) & (SearchRecord.created_at >= now() - timedelta(days=7))
    frequency = func.count().label("frequency")
    with services.session() as session:
        volume, average = session.execute(
            select(func.count(), func.avg(SearchRecord.execution_ms)).where(recent)
        ).one()
        top = session.execute(
            select(SearchRecord.query_text, frequency)
            .where(recent)
            .group_by(SearchRecord.query_text)
            .order_by(frequency.desc(), SearchRecord.query_text)
            .limit(_TOP)
        ).all()
    return {
        "period": "week",
        "topQueries": [text for text, _ in top],
        "queryVolume": volume,
        "avgResponseTime": round(float(average or 0), 2),
        "popularCategories": [],
    }
