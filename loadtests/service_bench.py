"""The service beside yardsticks, measured in one run on pinned cores.

    python -m loadtests.service_bench [--rounds 7] [--seconds 3] [--requests 100000] [--out FILE]

Three figures: a cached, authenticated search beside a bare FastAPI endpoint with the same answer; an uncached search
beside the same SQL through a bare pool of PyMySQL connections; and how memory grows with requests. Rounds alternate and
the ratio is the median of those of paired rounds, so that what else the computer does meets both sides. The server
under test has one core; load generator, MariaDB and Redis share the other.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import queue
import random
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from loadtests.bench_servers import Servers, bare, new_caller, servers, service
from loadtests.corpus import words
from loadtests.raw_http import Drive, drive, once, post

CONNECTIONS = 16
THREADS = 8
WARM_SECONDS = 1.0
CACHED_QUESTION = {"query": "memory driven library", "limit": 20}
CACHED_TARGET, UNCACHED_TARGET = 0.55, 0.80


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 0 however the ratios come out; a failure to measure raises."""
    parser = argparse.ArgumentParser(description="The service beside yardsticks, on pinned cores.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--requests", type=int, default=100_000, help="cached requests of the memory part")
    parser.add_argument("--out", type=Path, help="file for the figures as JSON")
    options = parser.parse_args(arguments)
    cores = sorted(os.sched_getaffinity(0))
    tested, others = cores[0], cores[-1]
    os.sched_setaffinity(0, {others})
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, servers(Path(directory), others) as where:
        figures["cached"] = _cached(where, tested, options.rounds, options.seconds)
        figures["uncached"] = _uncached(where, tested, options.rounds, options.seconds)
        figures["memory"] = _memory(where, tested, options.requests)
    if options.out is not None:
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


def _cached(where: Servers, core: int, rounds: int, seconds: float) -> dict[str, object]:
    body = json.dumps(CACHED_QUESTION).encode()
    with service(where, core, cache_search_seconds=86_400) as (port, _):
        request = post("/api/v1/search", body, new_caller(where, port))
        once(port, request)
        status, answer = once(port, request)
        if status != 200 or json.loads(answer)["data"]["cache"] != "hit":
            raise RuntimeError(f"the search is not cached: {status} {answer[:300]!r}")
        with bare(where, core, answer) as yardstick:
            bare_request = post("/search", body)
            pairs = _paired(
                lambda length: drive(
                    yardstick, lambda: bare_request, connections=CONNECTIONS, seconds=length
                ),
                lambda length: drive(port, lambda: request, connections=CONNECTIONS, seconds=length),
                rounds,
                seconds,
            )
    return _told("cached search / bare FastAPI endpoint", pairs, CACHED_TARGET, f"{len(answer)} bytes")


def _uncached(where: Servers, core: int, rounds: int, seconds: float) -> dict[str, object]:
    with service(where, core, cache_search_seconds=0, customer_pool_size=THREADS, threads=THREADS) as (
        port,
        _,
    ):
        key, rng = new_caller(where, port), random.Random(2)  # noqa: S311 (words of queries)

        def next_request() -> bytes:
            query = " ".join(rng.sample(words(), 2))
            return post("/api/v1/search", json.dumps({"query": query}).encode(), key)

        statements = _statements_of_one_search(where, lambda: once(port, next_request()))
        pairs = _paired(
            lambda length: _bare_pool(where, core, statements, length),
            lambda length: drive(port, next_request, connections=THREADS, seconds=length),
            rounds,
            seconds,
        )
    return _told(
        "uncached search / its SQL through bare PyMySQL",
        pairs,
        UNCACHED_TARGET,
        f"{len(statements)} statements",
    )


def _memory(where: Servers, core: int, requests: int) -> dict[str, object]:
    """Resident memory over cached requests, and its slope by least squares with a 95 % interval."""
    with service(where, core, cache_search_seconds=86_400) as (port, pid):
        request = post("/api/v1/search", json.dumps(CACHED_QUESTION).encode(), new_caller(where, port))
        # What a worker fills once (pools, allocator, counters) is no growth.
        drive(port, lambda: request, connections=CONNECTIONS, seconds=10)
        counts, sizes, done = [], [], 0
        while done < requests:
            done += drive(port, lambda: request, connections=CONNECTIONS, seconds=1).answers
            counts.append(done)
            sizes.append(_resident_kib(pid))
    slope, margin = _slope(np.array(counts) / 1000, np.array(sizes))
    print(
        f"memory over {done} cached requests: {slope:+.2f} KiB per 1,000 requests"
        f" (95 %: {slope - margin:+.2f} to {slope + margin:+.2f}), {sizes[0]} to {sizes[-1]} KiB"
    )
    return {"requests": done, "kib_per_1000": slope, "margin": margin, "kib": sizes}


def _paired(
    yardstick: Callable[[float], Drive], tested: Callable[[float], Drive], rounds: int, seconds: float
) -> list[tuple[Drive, Drive]]:
    yardstick(WARM_SECONDS)
    tested(WARM_SECONDS)
    pairs = []
    for number in range(rounds):
        # Who goes first changes, so that a drift of the computer favours neither.
        if number % 2:
            second = tested(seconds)
            pairs.append((yardstick(seconds), second))
        else:
            pairs.append((yardstick(seconds), tested(seconds)))
    return pairs


def _told(what: str, pairs: list[tuple[Drive, Drive]], target: float, note: str) -> dict[str, object]:
    ratios = [tested.rate / yardstick.rate for yardstick, tested in pairs]
    ratio = statistics.median(ratios)
    base = statistics.median(yardstick.rate for yardstick, _ in pairs)
    rate = statistics.median(tested.rate for _, tested in pairs)
    busiest = max(side.busy for side in itertools.chain.from_iterable(pairs))
    print(
        f"{what}: {ratio:.2f} (target {target:.2f}; {min(ratios):.2f} to {max(ratios):.2f};"
        f" {rate:.0f}/s beside {base:.0f}/s; {note}; load generator at most {busiest:.0%} busy)"
    )
    return {"ratio": ratio, "ratios": ratios, "rate": rate, "yardstick": base, "target": target}


def _statements_of_one_search(where: Servers, search: Callable[[], object]) -> list[str]:
    """The SQL on the customer's database of one search that is made while the server's general log runs."""
    for _ in range(3):
        search()
    log = where.directory / "general.log"
    with where.connect("corpus") as connection, connection.cursor() as cursor:
        cursor.execute("SET GLOBAL general_log = ON")
        search()
        cursor.execute("SET GLOBAL general_log = OFF")
    lines = re.findall(r"\bQuery\t(.*)", log.read_text(encoding="utf-8", errors="replace"))
    return [line for line in lines if line.startswith("SELECT") and "`packages`" in line]


def _bare_pool(where: Servers, core: int, statements: list[str], seconds: float) -> Drive:
    """Run the statements of a search, with words of their own each time, on as many threads as the service has."""
    os.sched_setaffinity(0, {core})
    pool: queue.SimpleQueue[object] = queue.SimpleQueue()
    counts = [0] * THREADS
    asked = re.search(r"AGAINST \('([^']*)'", statements[0])
    assert asked is not None
    connections = [where.connect("corpus") for _ in range(THREADS)]
    for connection in connections:
        pool.put(connection)
    end = time.perf_counter() + seconds

    def work(number: int) -> None:
        os.sched_setaffinity(0, {core})
        rng = random.Random(number)  # noqa: S311 (words of queries)
        while time.perf_counter() < end:
            connection = pool.get()
            with connection.cursor() as cursor:  # type: ignore[attr-defined]
                for statement in statements:
                    cursor.execute(statement.replace(asked[1], " ".join(rng.sample(words(), 2))))
                    cursor.fetchall()
            pool.put(connection)
            counts[number] += 1

    started, worked = time.perf_counter(), time.process_time()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=seconds + 60)
    elapsed = time.perf_counter() - started
    for connection in connections:
        connection.close()
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(1))[-1]})
    return Drive(sum(counts), elapsed, (time.process_time() - worked) / elapsed)


def _resident_kib(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1])


def _slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The slope of y over x by least squares and half of its 95 % interval."""
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    rest = y - y.mean() - slope * centred
    error = float(np.sqrt(rest @ rest / (len(x) - 2) / (centred @ centred)))
    return slope, 1.96 * error


if __name__ == "__main__":
    sys.exit(main())
