"""Every search is recorded, whatever came of it."""

from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError

from search_api import metrics
from search_api.clock import now
from search_api.ids import new_id
from search_api.models import SearchRecord
from search_api.services import Services

log = structlog.get_logger()


@dataclass(frozen=True)
class Made:
    """A search that was made. ``milliseconds`` is the time it took."""

    user_id: str
    api_key_id: str
    query: str
    mode: str
    database_ids: list[str]
    results: int
    milliseconds: float
    cache_hit: bool
    status: str


def record_search(services: Services, made: Made) -> None:
    """Write the record. A search that was answered does not fail because its record cannot be written."""
    metrics.SEARCHES.labels(made.mode, made.status, "hit" if made.cache_hit else "miss").inc()
    metrics.SEARCH_SECONDS.labels(made.mode).observe(made.milliseconds / 1000)
    row = SearchRecord(
        id=new_id(),
        user_id=made.user_id,
        api_key_id=made.api_key_id,
        query_text=made.query,
        search_mode=made.mode,
        database_ids=made.database_ids,
        result_count=made.results,
        execution_ms=made.milliseconds,
        cache_hit=made.cache_hit,
        status=made.status,
        created_at=now(),
    )
    try:
        with services.session() as session:
            session.add(row)
    except SQLAlchemyError as error:
        metrics.SEARCH_RECORDS_LOST.inc()
        log.error("a search could not be recorded", error=type(error).__name__)
