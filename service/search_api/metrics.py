"""What the service counts. Labels never carry ids, so their number stays small."""

import os
import threading
import time
from collections.abc import Iterator
from functools import lru_cache

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

HTTP_REQUESTS = Counter("http_requests_total", "Requests answered", ["method", "route", "status"])
HTTP_SECONDS = Histogram(
    "http_request_duration_seconds", "Time to answer", ["method", "route"], buckets=_SECONDS
)
HTTP_BYTES = Counter("http_response_bytes_total", "Bytes of response bodies", ["route"])
CPU_SECONDS = Counter(
    "search_api_cpu_seconds_total", "CPU time of the workers, brought up to date by each request"
)
SQL_STATEMENTS = Counter("sql_statements_total", "SQL statements sent", ["target"])
SQL_SECONDS = Histogram(
    "database_query_duration_seconds", "Time of SQL statements", ["target"], buckets=_SECONDS
)
DATABASE_CONNECTIONS = Gauge(
    "database_connections_active", "Connections in use", ["target"], multiprocess_mode="livesum"
)
REDIS_COMMANDS = Counter("redis_commands_total", "Redis commands sent", ["outcome"])
REDIS_DONE = REDIS_COMMANDS.labels("done")
LIMITED_ALONE = Counter(
    "rate_limit_degraded_total", "Requests that were judged by a local share of a limit, without Redis"
)
CACHE_OPERATIONS = Counter("cache_operations_total", "Cache look-ups and writes", ["kind", "outcome"])
SEARCHES = Counter("search_requests_total", "Searches", ["mode", "status", "cache"])
SEARCH_SECONDS = Histogram("search_duration_seconds", "Time of searches", ["mode"], buckets=_SECONDS)
SEARCH_RECORDS_LOST = Counter("search_records_lost_total", "Searches that could not be recorded")
AI_REQUESTS = Counter("ai_requests_total", "Requests to the AI", ["operation", "outcome"])
AI_SECONDS = Histogram(
    "ai_request_duration_seconds", "Time of requests to the AI", ["operation"], buckets=_SECONDS
)
AI_TOKENS = Counter("ai_tokens_total", "Tokens sent to the AI (in) and written by it (out)", ["direction"])
AI_BREAKER = Gauge(
    "ai_breaker_state",
    "Whether the AI is left alone: 0 no, 1 being tried, 2 yes; the worst of the workers",
    multiprocess_mode="livemax",
)
AI_CALLS_LOST = Counter("ai_calls_lost_total", "Calls to the AI that could not be written into the ledger")
API_KEY_USES = Counter("api_key_usage_total", "Requests with an API key", ["key_tier", "endpoint", "status"])

_cpu_lock = threading.Lock()
_cpu_counted = time.process_time()
_cpu_looked_at = 0.0
_CPU_EVERY_SECONDS = 0.002  # asking the system costs more than counting


def forget_start_up_cpu() -> None:
    """Leave the CPU time of loading the service out of what its requests cost."""
    global _cpu_counted  # noqa: PLW0603 (one figure per process)
    _cpu_counted = time.process_time()


@lru_cache(maxsize=4096)
def _of_request(method: str, route: str, status: str) -> tuple[Counter, Histogram, Counter]:
    """The series of a request; finding them by their labels each time costs more than counting."""
    return (
        HTTP_REQUESTS.labels(method, route, status),
        HTTP_SECONDS.labels(method, route),
        HTTP_BYTES.labels(route),
    )


@lru_cache(maxsize=4096)
def _of_search(mode: str, status: str, cache: str) -> tuple[Counter, Histogram]:
    return SEARCHES.labels(mode, status, cache), SEARCH_SECONDS.labels(mode)


def count_search(mode: str, status: str, *, cache_hit: bool, seconds: float) -> None:
    """Count a search."""
    searches, times = _of_search(mode, status, "hit" if cache_hit else "miss")
    searches.inc()
    times.observe(seconds)


@lru_cache(maxsize=4096)
def key_use(tier: str, route: str, status: str) -> Counter:
    """The series of requests with a key of this tier."""
    return API_KEY_USES.labels(tier, route, status)


def count_request(method: str, route: str, status: str, seconds: float, body_bytes: int) -> None:
    """Count an answered request."""
    requests, times, size = _of_request(method, route, status)
    requests.inc()
    times.observe(seconds)
    size.inc(body_bytes)


def count_cpu() -> None:
    """Add the CPU time that this worker used since the last call."""
    global _cpu_counted, _cpu_looked_at  # noqa: PLW0603 (one figure per process, guarded by the lock)
    if time.monotonic() - _cpu_looked_at < _CPU_EVERY_SECONDS:
        return
    with _cpu_lock:
        used = time.process_time()
        _cpu_looked_at = time.monotonic()
        CPU_SECONDS.inc(max(0.0, used - _cpu_counted))
        _cpu_counted = used


class CacheHitRatio(Collector):
    """Derives cache_hit_ratio from the counters of all workers."""

    def __init__(self, source: Collector) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        hits: dict[str, float] = {}
        looked: dict[str, float] = {}
        for family in self._source.collect():
            if family.name != "cache_operations":
                continue
            for sample in family.samples:
                if sample.name != "cache_operations_total":
                    continue
                kind, outcome = sample.labels["kind"], sample.labels["outcome"]
                if outcome in ("hit", "miss"):
                    looked[kind] = looked.get(kind, 0) + sample.value
                    hits[kind] = hits.get(kind, 0) + (sample.value if outcome == "hit" else 0)
        ratio = GaugeMetricFamily("cache_hit_ratio", "Share of cache look-ups that hit", labels=["kind"])
        for kind, total in looked.items():
            ratio.add_metric([kind], hits[kind] / total if total else 0.0)
        yield ratio


def render_metrics() -> tuple[bytes, str]:
    """All workers' metrics in the Prometheus text format, and its content type."""
    source: Collector = CacheOperationsOfThisProcess()
    registry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        source = MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    ratio = CollectorRegistry()
    ratio.register(CacheHitRatio(source))
    return generate_latest(registry) + generate_latest(ratio), CONTENT_TYPE_LATEST


class CacheOperationsOfThisProcess(Collector):
    """The cache counters when there is one process only."""

    def collect(self) -> Iterator[Metric]:
        yield from CACHE_OPERATIONS.collect()
