"""A user's own most frequent searches."""

from datetime import timedelta

from sqlalchemy import func, select

from search_api.clock import now
from search_api.models import SearchRecord
from search_api.services import Services

_DAYS = 30


def popular_like(services: Services, user_id: str, query: str, most: int) -> list[tuple[str, int]]:
    """The owner's searches of the last 30 days that found something and hold this text: text and number."""
    number = func.count()
    with services.session() as session:
        found = session.execute(
            select(SearchRecord.query_text, number)
            .where(
                SearchRecord.user_id == user_id,
                SearchRecord.created_at >= now() - timedelta(days=_DAYS),
                SearchRecord.status == "ok",
                SearchRecord.result_count > 0,
                SearchRecord.query_text.contains(query, autoescape=True),
            )
            .group_by(SearchRecord.query_text)
            .order_by(number.desc(), SearchRecord.query_text)
            .limit(most)
        ).all()
    return [(text, count) for text, count in found]
