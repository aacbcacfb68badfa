"""Counters of an app machine, read from its /metrics: what a stretch of load cost there."""

from __future__ import annotations

from collections.abc import Mapping

from loadtests.wire import Pool

CPU = "search_api_cpu_seconds_total"
SERVED = "http_requests_total"
# Names in the verdict, and the metric behind each, summed over its labels.
COUNTERS = {
    "sql_statements": "sql_statements_total",
    "redis_commands": "redis_commands_total",
    "response_bytes": "http_response_bytes_total",
}


class ScrapeError(Exception):
    """/metrics could not be read or does not hold what is compared."""


def parse(text: str) -> dict[str, float]:
    """Sums of all samples by metric name, from Prometheus' text format. Raises ScrapeError for a line that is none."""
    sums: dict[str, float] = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        name = line.partition("{")[0].partition(" ")[0]
        try:
            value = float(line.rpartition("}")[2].split()[0] if "{" in line else line.split()[1])
        except (IndexError, ValueError) as error:
            raise ScrapeError(f"/metrics: not a sample: {line[:80]!r}") from error
        sums[name] = sums.get(name, 0.0) + value
    return sums


async def read(pool: Pool, place: str) -> dict[str, float]:
    """The counters of one machine now. Raises ScrapeError, Lost."""
    answer = await pool.exchange("GET", "/metrics", {"Accept": "text/plain"}, None)
    if answer.status != 200:
        raise ScrapeError(
            f"{place}: /metrics answered {answer.status}; is this computer among the control addresses?"
        )
    sums = parse(answer.body.decode("utf-8"))
    if CPU not in sums:
        raise ScrapeError(f"{place}: /metrics has no {CPU}; this release cannot be compared by CPU")
    return sums


def per_request(
    before: Mapping[str, float], after: Mapping[str, float], requests: int
) -> tuple[float, dict[str, float]]:
    """CPU-ms and counters per request between two readings.

    The counters hold everything the machine served meanwhile, users' requests too, so they are divided by what
    it served, not by the `requests` that the slice sent.

    Raises ScrapeError when a counter went backwards (a restart).
    """
    if requests <= 0:
        raise ScrapeError("a slice without requests has no cost per request")
    spent = {name: after[name] - before.get(name, 0.0) for name in (CPU, *COUNTERS.values()) if name in after}
    backwards = [name for name, value in spent.items() if value < 0]
    if backwards:
        raise ScrapeError(f"{backwards[0]} went backwards: the service restarted during the slice")
    served = max(float(requests), after.get(SERVED, 0.0) - before.get(SERVED, 0.0))
    counters = {name: spent[metric] / served for name, metric in COUNTERS.items() if metric in spent}
    return spent[CPU] * 1000 / served, counters
