"""What this machine and this service use, from the system and from the service's own metrics.

Every figure is of the machine that answers. A unit that hides the system's part of /proc leaves the CPU time of the
service's own workers, and memory after sysconf; the figures say so by ``source``.
"""

import os
from dataclasses import dataclass

import psutil
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from search_api.clock import uptime
from search_api.settings import Settings

_SLOW_SECONDS = "1.0"


@dataclass(frozen=True)
class Machine:
    """Percent of what the machine has; ``cpu`` since the last question or, for ``service``, since the start."""

    cpu: float
    cpu_source: str
    memory: float
    memory_source: str
    disk: float


@dataclass(frozen=True)
class Served:
    """Since the workers started; times are milliseconds, ``error_rate`` is the share of answers with 5xx."""

    requests_per_second: float
    average_ms: float
    error_rate: float
    connections_in_use: float
    average_query_ms: float
    slow_queries: int


def look_at_machine() -> Machine:
    """The machine now."""
    cpu, cpu_source = _cpu()
    memory, memory_source = _memory()
    return Machine(cpu, cpu_source, memory, memory_source, float(psutil.disk_usage("/").percent))


def look_at_service() -> Served:
    """All workers of this slot together. A query is slow after one second."""
    sums = _Samples()
    answered = sums.total("http_requests_total")
    failed = sum(
        value for labels, value in sums.of("http_requests_total") if labels["status"].startswith("5")
    )
    queries = sums.total("database_query_duration_seconds_count")
    quick = sum(
        value
        for labels, value in sums.of("database_query_duration_seconds_bucket")
        if labels["le"] == _SLOW_SECONDS
    )
    return Served(
        requests_per_second=round(answered / max(uptime(), 1.0), 3),
        average_ms=_mean_ms(sums, "http_request_duration_seconds"),
        error_rate=round(failed / answered, 6) if answered else 0.0,
        connections_in_use=sum(
            value
            for labels, value in sums.of("database_connections_active")
            if labels["target"] == "platform"
        ),
        average_query_ms=_mean_ms(sums, "database_query_duration_seconds"),
        slow_queries=int(queries - quick),
    )


def pool_share(settings: Settings, in_use: float) -> float:
    """Percent of the connections to the service's own database that all workers together may open."""
    return round(100 * in_use / (settings.pool_size * settings.workers), 2)


class _Samples:
    """The metrics by sample name, of all workers where they share a directory."""

    def __init__(self) -> None:
        self._found: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in _families():
            for sample in family.samples:
                self._found.setdefault(sample.name, []).append((sample.labels, sample.value))

    def of(self, name: str) -> list[tuple[dict[str, str], float]]:
        return self._found.get(name, [])

    def total(self, name: str) -> float:
        return sum(value for _, value in self.of(name))


def _families() -> list[Metric]:
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        collector = MultiProcessCollector(CollectorRegistry())  # type: ignore[no-untyped-call]
        return list(collector.collect())  # type: ignore[no-untyped-call]
    return list(REGISTRY.collect())


def _mean_ms(sums: _Samples, name: str) -> float:
    number = sums.total(name + "_count")
    return round(1000 * sums.total(name + "_sum") / number, 2) if number else 0.0


def _cpu() -> tuple[float, str]:
    try:
        return float(psutil.cpu_percent(interval=None)), "machine"
    except OSError:
        used = _Samples().total("search_api_cpu_seconds_total")
        return round(100 * used / max(uptime(), 1.0) / (os.cpu_count() or 1), 2), "service"


def _memory() -> tuple[float, str]:
    try:
        return float(psutil.virtual_memory().percent), "machine"
    except OSError:
        total, free = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_AVPHYS_PAGES")
        return round(100 * (total - free) / total, 2), "sysconf"
