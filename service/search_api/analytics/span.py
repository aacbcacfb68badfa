"""The time that figures are about: whole UTC days."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal

from fastapi import Depends, Query

from search_api.clock import now
from search_api.errors import invalid

Period = Literal["day", "week", "month", "3months", "6months", "year"]
_DAYS: dict[Period, int] = {"day": 1, "week": 7, "month": 30, "3months": 91, "6months": 182, "year": 365}
_LONGEST_DAYS = 400  # rollups are kept no longer by default


@dataclass(frozen=True)
class Span:
    """From the beginning of ``first`` to the end of ``last``; ``period`` is its name, or ``custom``."""

    period: str
    first: date
    last: date

    @property
    def start(self) -> datetime:
        """The first moment."""
        return datetime.combine(self.first, time(), UTC)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return datetime.combine(self.last + timedelta(days=1), time(), UTC)

    @property
    def days(self) -> list[date]:
        """Every day."""
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]

    def before(self) -> "Span":
        """The span of the same length right before."""
        length = self.last - self.first + timedelta(days=1)
        return Span(self.period, self.first - length, self.last - length)


def span_of(period: Period) -> Span:
    """The last so many days, today included."""
    today = now().date()
    return Span(period, today - timedelta(days=_DAYS[period] - 1), today)


def asked_span(
    startDate: Annotated[date | None, Query(description="YYYY-MM-DD, UTC")] = None,
    endDate: Annotated[date | None, Query(description="YYYY-MM-DD, UTC, included")] = None,
    period: Period = "week",
) -> Span:
    """Dependency: the span asked for. A date beats the period; with one date only, the period gives the length.

    Raises 400 VALIDATION_ERROR when the dates are the wrong way round or more than 400 days apart.
    """
    if startDate is None and endDate is None:
        return span_of(period)
    length = timedelta(days=_DAYS[period] - 1)
    try:
        if startDate is None:
            startDate = (endDate or now().date()) - length
        last = endDate or now().date()
        _ = last + timedelta(days=1)
    except OverflowError:
        raise invalid(
            "endDate" if endDate else "startDate", "is beyond the calendar", "out_of_range"
        ) from None
    if startDate > last:
        raise invalid("startDate", "is after endDate" if endDate else "is in the future", "wrong_order")
    if (last - startDate).days >= _LONGEST_DAYS:
        raise invalid("startDate", f"with endDate spans more than {_LONGEST_DAYS} days", "too_long")
    return Span("custom", startDate, last)


AskedSpan = Annotated[Span, Depends(asked_span)]
