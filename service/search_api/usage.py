"""Counts the uses of API keys in memory and writes the sums every few seconds: no write on the path of a request."""

import threading
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Engine, func, update
from sqlalchemy.dialects.mysql import insert
from sqlalchemy.exc import SQLAlchemyError

from search_api.clock import now
from search_api.database import session_of
from search_api.models import ApiKey, ApiKeyUse

log = structlog.get_logger()


@dataclass
class _Count:
    requests: int
    last_used: datetime
    last_address: str


class UsageCounter:
    """One per worker. ``start`` runs the writer; ``stop`` writes the rest."""

    def __init__(self, engine: Engine, seconds: float) -> None:
        self._engine = engine
        self._seconds = seconds
        self._counts: dict[tuple[str, datetime], _Count] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._writer: threading.Thread | None = None

    def start(self) -> None:
        """Write regularly from now on."""
        self._writer = threading.Thread(target=self._write_regularly, name="usage-writer", daemon=True)
        self._writer.start()

    def stop(self) -> None:
        """Write what is left and end the writer."""
        self._stopping.set()
        if self._writer is not None:
            self._writer.join(timeout=10)
        self.flush()

    def count(self, api_key_id: str, address: str) -> None:
        """One use of a key, now, from this address."""
        moment = now()
        hour = moment.replace(minute=0, second=0, microsecond=0)
        with self._lock:
            count = self._counts.get((api_key_id, hour))
            if count is None:
                count = self._counts[api_key_id, hour] = _Count(0, moment, address)
            count.requests += 1
            count.last_used = moment
            count.last_address = address

    def flush(self) -> None:
        """Write the sums; they are kept for the next time when MySQL is away."""
        with self._lock:
            counts, self._counts = self._counts, {}
        try:
            if counts:
                self._write(counts)
        except SQLAlchemyError as error:
            log.warning("uses of API keys are kept for later", error=type(error).__name__, keys=len(counts))
            self._put_back(counts)

    def _write(self, counts: dict[tuple[str, datetime], _Count]) -> None:
        # Always in the same order, so that workers never wait for each other in a circle.
        with session_of(self._engine) as session:
            for (api_key_id, hour), count in sorted(counts.items()):
                row = insert(ApiKeyUse).values(api_key_id=api_key_id, hour=hour, requests=count.requests)
                session.execute(row.on_duplicate_key_update(requests=ApiKeyUse.requests + count.requests))
                session.execute(
                    update(ApiKey)
                    .where(ApiKey.id == api_key_id)
                    .values(
                        usage_count=ApiKey.usage_count + count.requests,
                        last_used=func.greatest(
                            func.coalesce(ApiKey.last_used, count.last_used), count.last_used
                        ),
                        last_used_ip=count.last_address[:45],
                    )
                )

    def _put_back(self, counts: dict[tuple[str, datetime], _Count]) -> None:
        with self._lock:
            for key, count in counts.items():
                later = self._counts.setdefault(key, _Count(0, count.last_used, count.last_address))
                later.requests += count.requests

    def _write_regularly(self) -> None:
        while not self._stopping.wait(self._seconds):
            self.flush()
