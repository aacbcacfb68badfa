"""Records every search, whatever came of it, off the path of the request: queued here, written in batches."""

import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from search_api import metrics
from search_api.clock import now
from search_api.ids import new_id

log = structlog.get_logger()

_MOST_QUEUED = 50_000
_BATCH = 500
# Written for the driver: what the ORM does for each row costs as much as answering a search from the cache.
# A batch whose commit was not confirmed comes again: rows that are there already stay as they are.
_INSERT = (
    "INSERT INTO search_records (id, user_id, api_key_id, query_text, search_mode, database_ids, result_count,"
    " execution_ms, cache_hit, status, created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
    " ON DUPLICATE KEY UPDATE id = id"
)


@dataclass(slots=True)
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
    record_id: str = field(default_factory=new_id)
    at: datetime = field(default_factory=now)


class SearchRecords:
    """One per worker. ``start`` runs the writer; ``stop`` writes the rest; ``afterwards`` runs after each round.

    While MySQL is away records wait, up to a number; beyond it the oldest are lost and counted.
    """

    def __init__(self, engine: Engine, seconds: float, afterwards: Callable[[], None]) -> None:
        self._engine = engine
        self._seconds = seconds
        self._afterwards = afterwards
        self._queue: deque[Made] = deque()
        self._writing = threading.Lock()
        self._stopping = threading.Event()
        self._writer: threading.Thread | None = None

    def start(self) -> None:
        """Write regularly from now on."""
        self._writer = threading.Thread(target=self._write_regularly, name="record-writer", daemon=True)
        self._writer.start()

    def stop(self) -> None:
        """Write what is left and end the writer."""
        self._stopping.set()
        if self._writer is not None:
            self._writer.join(timeout=10)
        self.flush()

    def add(self, made: Made) -> None:
        """Count a search and queue its record."""
        metrics.count_search(
            made.mode, made.status, cache_hit=made.cache_hit, seconds=made.milliseconds / 1000
        )
        if len(self._queue) >= _MOST_QUEUED:
            self._queue.popleft()
            metrics.SEARCH_RECORDS_LOST.inc()
        self._queue.append(made)

    def flush(self) -> None:
        """Write what this worker has queued. What MySQL does not take stays queued."""
        with self._writing:
            for _ in range(_MOST_QUEUED // _BATCH + 1):
                batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
                if not batch or not self._write(batch):
                    return

    def _write(self, batch: list[Made]) -> bool:
        try:
            with self._engine.begin() as connection:
                connection.exec_driver_sql(_INSERT, [_row(made) for made in batch])
        except SQLAlchemyError as error:
            log.warning(
                "records of searches are kept for later", error=type(error).__name__, number=len(batch)
            )
            self._queue.extendleft(reversed(batch))
            return False
        return True

    def _write_regularly(self) -> None:
        while not self._stopping.wait(self._seconds):
            self.flush()
            self._afterwards()


def _row(made: Made) -> tuple[Any, ...]:
    return (
        made.record_id, made.user_id, made.api_key_id, made.query, made.mode, json.dumps(made.database_ids),
        made.results, made.milliseconds, made.cache_hit, made.status, made.at.replace(tzinfo=None),
    )  # fmt: skip
