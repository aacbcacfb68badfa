"""The ledger of calls to the AI: collected in memory and written every few seconds, each call exactly once."""

import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from sqlalchemy import Engine
from sqlalchemy.dialects.mysql import insert
from sqlalchemy.exc import SQLAlchemyError

from search_api import metrics
from search_api.ai.errors import Tokens
from search_api.clock import now
from search_api.database import session_of
from search_api.ids import new_id
from search_api.models import AiCall

log = structlog.get_logger()

_MOST = 50_000  # calls that wait for MySQL; some 30 MB
_AT_ONCE = 500


@dataclass(frozen=True)
class Call:
    """One request that reached the AI. ``cost`` is billionths of a US dollar."""

    user_id: str
    key_id: str
    operation: str
    model: str
    outcome: str
    tokens: Tokens
    cost: int
    milliseconds: float
    id: str = field(default_factory=new_id)
    created_at: datetime = field(default_factory=now)


class AiLedger:
    """One per worker. ``start`` runs the writer; ``stop`` writes the rest."""

    def __init__(self, engine: Engine, seconds: float) -> None:
        self._engine = engine
        self._seconds = seconds
        self._calls: deque[Call] = deque()
        self._writing = threading.Lock()
        self._stopping = threading.Event()
        self._writer: threading.Thread | None = None

    def start(self) -> None:
        """Write regularly from now on."""
        self._writer = threading.Thread(target=self._write_regularly, name="ai-ledger", daemon=True)
        self._writer.start()

    def stop(self) -> None:
        """Write what is left and end the writer."""
        self._stopping.set()
        if self._writer is not None:
            self._writer.join(timeout=10)
        self.flush()

    def add(self, call: Call) -> None:
        """Remember a call; it is written soon."""
        if len(self._calls) >= _MOST:
            metrics.AI_CALLS_LOST.inc()
            return
        self._calls.append(call)

    def flush(self) -> None:
        """Write what waits; it goes on waiting when MySQL is away."""
        with self._writing:
            while batch := [self._calls[number] for number in range(min(_AT_ONCE, len(self._calls)))]:
                try:
                    self._write(batch)
                except SQLAlchemyError as error:
                    log.warning("calls to the AI are kept for later", error=type(error).__name__)
                    return
                for _ in batch:
                    self._calls.popleft()

    def _write(self, batch: list[Call]) -> None:
        rows = [
            {
                "id": call.id,
                "user_id": call.user_id,
                "api_key_id": call.key_id,
                "operation": call.operation,
                "model": call.model,
                "outcome": call.outcome,
                "prompt_tokens": call.tokens.prompt,
                "completion_tokens": call.tokens.completion,
                "cost_nano_usd": call.cost,
                "milliseconds": call.milliseconds,
                "created_at": call.created_at,
            }
            for call in batch
        ]
        with session_of(self._engine) as session:
            # A batch whose commit was not confirmed comes again: rows that are there already stay as they are.
            session.execute(insert(AiCall).values(rows).on_duplicate_key_update(id=AiCall.id))

    def _write_regularly(self) -> None:
        while not self._stopping.wait(self._seconds):
            self.flush()
