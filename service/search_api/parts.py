"""The parts that the service is made of, and how each one is: read by health/detailed and by the public status."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from search_api.database import schema_fault

if TYPE_CHECKING:
    from search_api.services import Services

PartStatus: TypeAlias = Literal["healthy", "degraded", "unhealthy"]
_KEPT_SECONDS = 2.0  # so that the public status cannot be used to load the database and Redis


@dataclass(frozen=True)
class PartState:
    """How a part is. ``response_time`` is milliseconds; ``message`` is for everybody, ``detail`` for the operator."""

    name: str
    status: PartStatus
    response_time: float
    message: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """What a probe found."""

    status: PartStatus = "healthy"
    message: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


Probe: TypeAlias = "Callable[[Services], Finding]"


def _database(services: "Services") -> Finding:
    pool = services.engine.pool
    detail: dict[str, Any] = {}
    if isinstance(pool, QueuePool):
        in_use = pool.checkedout()
        detail["pool"] = {"size": pool.size(), "inUse": in_use, "idle": pool.checkedin()}
    try:
        fault = schema_fault(services.engine)
    except SQLAlchemyError:
        return Finding("unhealthy", "cannot be reached", detail)
    detail["schema"] = fault or "fits"
    return Finding("unhealthy", "is being changed", detail) if fault else Finding(detail=detail)


def _cache(services: "Services") -> Finding:
    if services.cache.alive():
        return Finding(detail={"loss": "costs speed, nothing else"})
    return Finding("degraded", "cannot be reached; answers are slower")


def _customer_databases(services: "Services") -> Finding:
    return Finding(detail={"pool": services.pools.state()})


def _ai(services: "Services") -> Finding:
    """Optional: a service without it, or one that leaves it alone for a while, answers all the same."""
    if not services.ai.switched_on:
        return Finding(detail={"configured": False})
    detail = {"configured": True, "breaker": services.ai.client.breaker.state}
    if services.ai.available():
        return Finding(detail=detail)
    return Finding("degraded", "does not help now; semantic searches are answered by their words", detail)


# A further part is a line here: its name, and a probe that is bounded in time and raises nothing.
PARTS: dict[str, Probe] = {
    "database": _database,
    "cache": _cache,
    "customer_databases": _customer_databases,
    "ai": _ai,
}


class PartsWatch:
    """Looks at all parts, at most every two seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: list[PartState] = []
        self._until = 0.0

    def look(self, services: "Services") -> list[PartState]:
        """The state of every part, in the order of PARTS."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._seen = [_look_at(name, probe, services) for name, probe in PARTS.items()]
                self._until = time.monotonic() + _KEPT_SECONDS
            return self._seen


def worst(states: list[PartState]) -> PartStatus:
    """The status of the whole: that of its worst part."""
    order: list[PartStatus] = ["healthy", "degraded", "unhealthy"]
    return max((state.status for state in states), key=order.index, default="healthy")


def _look_at(name: str, probe: Probe, services: "Services") -> PartState:
    started = time.perf_counter()
    found = probe(services)
    milliseconds = round((time.perf_counter() - started) * 1000, 2)
    return PartState(name, found.status, milliseconds, found.message, found.detail)
