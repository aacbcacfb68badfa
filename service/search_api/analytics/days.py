"""Sums a day: of single records while they are kept, of rollups after that."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Integer, Row, func, select

from search_api.analytics.span import Span
from search_api.clock import now
from search_api.models import SearchRecord, SearchRollup
from search_api.services import Services


@dataclass(frozen=True)
class DayMode:
    """Searches of one UTC day in one mode; times are milliseconds."""

    day: date
    mode: str
    searches: int
    failed: int
    cache_hits: int
    results: int
    total_ms: float
    min_ms: float
    max_ms: float


@dataclass(frozen=True)
class Totals:
    """The sums of several of them."""

    searches: int
    failed: int
    cache_hits: int
    results: int
    total_ms: float
    min_ms: float
    max_ms: float

    @property
    def average_ms(self) -> float:
        """Mean time of a search; 0 when there is none."""
        return round(self.total_ms / self.searches, 2) if self.searches else 0.0

    @property
    def average_results(self) -> float:
        """Mean number of results; 0 when there is no search."""
        return round(self.results / self.searches, 2) if self.searches else 0.0

    @property
    def success_rate(self) -> float:
        """Share of searches that were answered, from 0 to 1; 1 when there is none."""
        return round(1 - self.failed / self.searches, 4) if self.searches else 1.0


def read_days(services: Services, user_id: str | None, span: Span) -> list[DayMode]:
    """A user's days, or everybody's, in order. Days without searches are left out.

    A day of which single records may be gone already is taken from its rollup.
    """
    kept_from = now().date() - timedelta(days=services.settings.search_record_days)
    with services.session_with_records() as session:
        records = session.execute(_of_records(user_id, span)).all()
        rollups = session.execute(_of_rollups(user_id, span)).all() if span.first < kept_from else []
    found = {(each.day, each.mode): each for each in map(_day_mode, records)}
    for each in map(_day_mode, rollups):
        if each.day < kept_from:
            found[each.day, each.mode] = each
    return [found[key] for key in sorted(found)]


def totals_of(days: list[DayMode]) -> Totals:
    """The sums."""
    return Totals(
        sum(day.searches for day in days),
        sum(day.failed for day in days),
        sum(day.cache_hits for day in days),
        sum(day.results for day in days),
        sum(day.total_ms for day in days),
        min((day.min_ms for day in days), default=0.0),
        max((day.max_ms for day in days), default=0.0),
    )


def within(user_id: str | None, start: datetime, end: datetime) -> ColumnElement[bool]:
    """The single records of a user, or of all, from ``start`` to before ``end``."""
    moment = (SearchRecord.created_at >= start) & (SearchRecord.created_at < end)
    return moment if user_id is None else (SearchRecord.user_id == user_id) & moment


def _of_records(user_id: str | None, span: Span) -> Any:
    day = func.date(SearchRecord.created_at)
    return (
        select(
            day,
            SearchRecord.search_mode,
            func.count(),
            # Typed, for a sum of truth values is a truth value to SQLAlchemy.
            func.sum(SearchRecord.status != "ok", type_=Integer),
            func.sum(SearchRecord.cache_hit, type_=Integer),
            func.sum(SearchRecord.result_count),
            func.sum(SearchRecord.execution_ms),
            func.min(SearchRecord.execution_ms),
            func.max(SearchRecord.execution_ms),
        )
        .where(within(user_id, span.start, span.end))
        .group_by(day, SearchRecord.search_mode)
    )


def _of_rollups(user_id: str | None, span: Span) -> Any:
    table = SearchRollup
    wanted = (table.day >= span.first) & (table.day <= span.last)
    return (
        select(
            table.day,
            table.search_mode,
            func.sum(table.searches),
            func.sum(table.failed),
            func.sum(table.cache_hits),
            func.sum(table.results),
            func.sum(table.total_ms),
            func.min(table.min_ms),
            func.max(table.max_ms),
        )
        .where(wanted if user_id is None else (table.user_id == user_id) & wanted)
        .group_by(table.day, table.search_mode)
    )


def _day_mode(row: Row[Any]) -> DayMode:
    day, mode, searches, failed, hits, results, total, least, most = tuple(row)
    return DayMode(
        day,
        mode,
        int(searches),
        int(failed),
        int(hits),
        int(results),
        float(total),
        float(least),
        float(most),
    )
