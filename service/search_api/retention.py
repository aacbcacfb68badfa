"""How long records are kept: full days are summed up, then what is too old is deleted, a few rows at a time.

Safe to kill at any moment and to run again, also on several hosts at once: one holds a named lock and the others leave.
A day's sums are written in one transaction from all of its records, before any of them is deleted; a day of which
records are gone never has more records than its sums say, so its sums are never written again.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from typing import Any

from sqlalchemy import Connection, Engine, Integer, delete, func, select, text
from sqlalchemy.dialects.mysql import insert
from sqlalchemy.orm import InstrumentedAttribute

from search_api.clock import now
from search_api.database import open_engine
from search_api.models import AiCall, ApiKeyUse, RevokedToken, SearchRecord, SearchRollup
from search_api.settings import Settings

_LOCK = "search_api_purge"
_BATCH = 2_000  # rows deleted at once: a few milliseconds of locks
_PAUSE_SECONDS = 0.02  # between batches, so that others get in
_READ_SECONDS = 900
_SETTLED = timedelta(hours=1)  # after midnight, when every worker has written what it recorded before


def purge(settings: Settings) -> Iterator[str]:
    """Sum up and delete; yields a line about each thing that was done. Raises SQLAlchemyError when MySQL fails."""
    # Summing up reads every record that is kept, which may take longer than any statement of a request.
    engine = open_engine(settings.model_copy(update={"read_timeout": _READ_SECONDS}))
    try:
        with _alone(engine) as alone:
            if not alone:
                yield "another purge is running; nothing done"
                return
            yield from _roll_up(engine)
            yield from _delete_old(engine, settings)
    finally:
        engine.dispose()


def _roll_up(engine: Engine) -> Iterator[str]:
    until = (now() - _SETTLED).date()
    days, searches = 0, 0
    for day in _days_to_sum(engine, until):
        searches += _sum_day(engine, day)
        days += 1
    yield f"summed up: {days} days, {searches} searches"


def _days_to_sum(engine: Engine, until: date) -> list[date]:
    """Full days that have more records than their sums say."""
    day = func.date(SearchRecord.created_at)
    with engine.connect() as connection:
        recorded = connection.execute(
            select(day, func.count())
            .where(SearchRecord.created_at < _start(until))
            .group_by(day)
            .order_by(day)
        ).all()
        summed: dict[date, int] = {
            each: int(number)
            for each, number in connection.execute(
                select(SearchRollup.day, func.sum(SearchRollup.searches)).group_by(SearchRollup.day)
            )
        }
    return [each for each, number in recorded if number > summed.get(each, 0)]


def _sum_day(engine: Engine, day: date) -> int:
    """Write the sums of a day; gives the number of its searches."""
    record = SearchRecord
    sums = (
        select(
            record.user_id,
            func.date(record.created_at),
            record.search_mode,
            func.count(),
            func.sum(record.status != "ok", type_=Integer),
            func.sum(record.cache_hit, type_=Integer),
            func.sum(record.result_count),
            func.sum(record.execution_ms),
            func.min(record.execution_ms),
            func.max(record.execution_ms),
        )
        .where(record.created_at >= _start(day), record.created_at < _start(day + timedelta(days=1)))
        .group_by(record.user_id, func.date(record.created_at), record.search_mode)
        .order_by(record.user_id)
    )
    names = [column.name for column in SearchRollup.__table__.columns]
    with engine.begin() as connection:
        # Read first and written by value, so that no lock is taken on records that are being written.
        rows = [dict(zip(names, row, strict=True)) for row in connection.execute(sums)]
        for first in range(0, len(rows), _BATCH):
            new = insert(SearchRollup).values(rows[first : first + _BATCH])
            changed = {name: new.inserted[name] for name in names[3:]}
            connection.execute(new.on_duplicate_key_update(changed))
    return sum(int(row["searches"]) for row in rows)


def _delete_old(engine: Engine, settings: Settings) -> Iterator[str]:
    today = now().date()
    records_from = _start(today - timedelta(days=settings.search_record_days))
    sums_from = today - timedelta(days=settings.rollup_days)
    for name, column, before in (
        ("search records", SearchRecord.created_at, records_from),
        ("daily sums", SearchRollup.day, sums_from),
        ("AI calls", AiCall.created_at, _start(sums_from)),
        ("hours of API key uses", ApiKeyUse.hour, _start(sums_from)),
        ("revoked tokens", RevokedToken.expires_at, now()),
    ):
        yield f"deleted: {_delete_before(engine, column, before)} {name} from before {before.isoformat()}"


def _delete_before(engine: Engine, column: InstrumentedAttribute[Any], before: date | datetime) -> int:
    table = column.class_
    deleted = 0
    while True:
        with engine.begin() as connection:
            gone = connection.execute(
                delete(table).where(column < before).with_dialect_options(mysql_limit=_BATCH)
            ).rowcount
        deleted += gone
        if gone < _BATCH:
            return deleted
        time.sleep(_PAUSE_SECONDS)


@contextmanager
def _alone(engine: Engine) -> Iterator[bool]:
    """Whether no other purge runs on this database, by a lock that ends with the connection."""
    with engine.connect() as connection:
        name = _lock_name(connection)
        alone = connection.scalar(text("SELECT GET_LOCK(:name, 0)"), {"name": name}) == 1
        try:
            yield alone
        finally:
            if alone:
                connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": name})


def _lock_name(connection: Connection) -> str:
    # Locks are the server's, and one server may hold several schemas.
    return f"{_LOCK}:{connection.scalar(text('SELECT DATABASE()'))}"[:64]


def _start(day: date) -> datetime:
    return datetime.combine(day, clock_time(), UTC)
