"""Caches the answers to users' most frequent searches again, after a start and after they expire.

One worker of all that share a Redis does it at a time, one search after the other, and rests nine times as long as each
took, so that it never takes more than a tenth of one connection. Semantic searches are left out: they cost AI calls.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from search_api.clock import now
from search_api.errors import ApiError
from search_api.models import SearchRecord
from search_api.search.answer import SearchMode, SearchQuestion, warm_search
from search_api.services import Services

log = structlog.get_logger()

_DAYS = 7
_LEAST = 3  # searches of a query; what was asked less often is not popular
_LIMIT = 20  # the default of POST search
_FIRST_WAIT_SECONDS = 5.0  # after a start, so that live traffic comes first
_REST = 9.0
_MODES: tuple[SearchMode, ...] = ("natural", "boolean")


@dataclass
class Warmed:
    """What a round did."""

    owners: int = 0
    made: int = 0
    present: int = 0
    failed: int = 0

    def described(self) -> str:
        """One line."""
        return (
            f"warmed: {self.made} searches of {self.owners} users; {self.present} were cached already, "
            f"{self.failed} failed"
        )


def warm_once(services: Services, rest: Callable[[float], bool] | None = None) -> Warmed:
    """Cache what is popular and not cached. ``rest`` is called with the seconds to wait and says whether to stop.

    Raises SQLAlchemyError when the service's own database fails.
    """
    warmed = Warmed()
    if not services.settings.cache_search_seconds:
        return warmed
    for user_id in _busiest(services):
        warmed.owners += 1
        for question in _popular(services, user_id):
            started = time.monotonic()
            try:
                made = warm_search(services, user_id, question)
            except ApiError as error:
                # Its database is gone or down; the search would fail for the user too.
                log.debug("not warmed", code=error.code)
                warmed.failed += 1
            else:
                warmed.made += made
                warmed.present += not made
            if rest is not None and rest((time.monotonic() - started) * _REST):
                return warmed
    return warmed


class Warmer:
    """Warms in the background of a worker, when the setting says so."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._seconds = float(services.settings.cache_search_seconds)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Warm from now on, unless it is switched off."""
        if self._services.settings.warm_cache and self._seconds:
            self._thread = threading.Thread(target=self._run, name="cache-warmer", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End after the search that is being made."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=self._services.settings.customer_deadline)

    def _run(self) -> None:
        wait = min(_FIRST_WAIT_SECONDS, self._seconds)
        while not self._stopping.wait(wait):
            wait = self._seconds
            if not self._services.cache.claim("warming", "turn", max(1, int(self._seconds) - 1)):
                continue
            try:
                warmed = warm_once(self._services, self._stopping.wait)
            except SQLAlchemyError as error:
                log.warning("the cache could not be warmed", error=type(error).__name__)
            else:
                log.debug("warmed", made=warmed.made, present=warmed.present, failed=warmed.failed)


def _busiest(services: Services) -> list[str]:
    number = func.count()
    with services.session() as session:
        return list(
            session.scalars(
                select(SearchRecord.user_id)
                .where(SearchRecord.created_at >= now() - timedelta(days=_DAYS))
                .group_by(SearchRecord.user_id)
                .order_by(number.desc(), SearchRecord.user_id)
                .limit(services.settings.warm_cache_owners)
            )
        )


def _popular(services: Services, user_id: str) -> list[SearchQuestion]:
    number = func.count()
    record = SearchRecord
    modes = {str(mode): mode for mode in _MODES}
    with services.session() as session:
        rows = session.execute(
            select(record.query_text, record.search_mode, record.database_ids)
            .where(
                record.user_id == user_id,
                record.created_at >= now() - timedelta(days=_DAYS),
                record.status == "ok",
                record.search_mode.in_(_MODES),
            )
            .group_by(record.query_text, record.search_mode, record.database_ids)
            .having(number >= _LEAST)
            .order_by(number.desc(), record.query_text)
            .limit(services.settings.warm_cache_queries)
        ).all()
    return [
        SearchQuestion(text, tuple(ids), None, None, modes[mode], _LIMIT, 0, with_trends=False)
        for text, mode, ids in rows
    ]
