"""Counts every request of clients that never retry: the only instrument that may say "0 lost".

    python -m loadtests.prober INVENTORY [--rate 50] [--duration S] [--out FILE]      GET and POST through the
    public name
    python -m loadtests.prober --ca FILE "GET https://host/health" "POST http://host:8000/x" …

Requests are sent on a schedule over keep-alive connections, each once. A request is ok when a whole 2xx answer
came back in time; any other fate loses it: http_<status>, refused, reset, closed, truncated, timeout, tls,
unreachable, garbled. A connection that the server closed visibly before the next request was sent on it is
replaced and counted apart (`closed_while_idle`), for nothing was asked on it.
Runs for --duration seconds or until SIGTERM or SIGINT. Exit 0 none lost · 1 some lost · 2 usage · 5 could not
look.
"""

# ruff: noqa: S311 (loads must be repeatable, not secret)

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from inventories.schema import InventoryError, load_inventory
from loadtests import accounts, operations, pacing, target
from loadtests.operations import Call
from loadtests.samples import percentile
from loadtests.slo import SloError, load_slo
from loadtests.wire import Answer, Lost, Pool

EXIT_LOST, EXIT_USAGE, EXIT_COULD_NOT_LOOK = 1, 2, 5
# Half of what is sent are POSTs, which neither a proxy nor a client may repeat.
PUBLIC_MIX = {"search": 5, "databases_list": 3, "health": 2}
LONGEST = 86400.0


@dataclass
class Tally:
    """What became of every request."""

    sent: int = 0
    fates: Counter[str] = field(default_factory=Counter)
    by_method: dict[str, Counter[str]] = field(default_factory=dict)
    times_ms: list[float] = field(default_factory=list)
    lost: list[dict[str, Any]] = field(default_factory=list)
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    first_ok: float | None = None
    last_ok: float | None = None
    max_gap_ms: float = 0.0

    def ok(self, call: Call, answer: Answer, waited_ms: float) -> None:
        """A whole, good answer, just now."""
        self._fate("ok", call)
        self.times_ms.append(waited_ms)
        now = time.time()
        if self.last_ok is not None:
            self.max_gap_ms = max(self.max_gap_ms, (now - self.last_ok) * 1000)
        self.first_ok, self.last_ok = self.first_ok or now, now
        if version := _version(answer):
            seen = self.versions.setdefault(version, {"answers": 0, "first": now})
            seen["answers"], seen["last"] = seen["answers"] + 1, now

    def lose(self, call: Call, fate: str, detail: str) -> None:
        """A request that got no whole, good answer."""
        self._fate(fate, call)
        if len(self.lost) < 200:
            self.lost.append(
                {"at": time.time(), "method": call.method, "path": call.path, "fate": fate, "detail": detail}
            )

    def _fate(self, fate: str, call: Call) -> None:
        self.fates[fate] += 1
        self.by_method.setdefault(call.method, Counter())[fate] += 1


class Prober:
    """Sends calls on a schedule and tallies their fates."""

    def __init__(self, pools: Mapping[str, Pool], rate: float, duration: float) -> None:
        self.tally = Tally()
        self._pools = pools
        self._moments = pacing.arrivals(pacing.steady(rate, duration), "constant", random.Random())
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Sends no more; what is under way is still awaited."""
        self._stop.set()

    async def run(self, calls: Iterator[tuple[str, Call]]) -> None:
        """Sends until the time is over or `stop` is called, and returns when every request has met its fate."""
        start = time.perf_counter()
        async with asyncio.TaskGroup() as under_way:
            for moment in self._moments:
                if await self._stopped_within(start + moment - time.perf_counter()):
                    return
                self.tally.sent += 1
                under_way.create_task(self._send(*next(calls)))

    async def _stopped_within(self, seconds: float) -> bool:
        if seconds <= 0:
            await asyncio.sleep(0)
            return self._stop.is_set()
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _send(self, pool: str, call: Call) -> None:
        began = time.perf_counter()
        try:
            answer = await self._pools[pool].exchange(call.method, call.path, call.headers, call.body)
        except Lost as lost:
            self.tally.lose(call, lost.fate, str(lost))
            return
        if 200 <= answer.status < 300:
            self.tally.ok(call, answer, (time.perf_counter() - began) * 1000)
        else:
            self.tally.lose(call, f"http_{answer.status}", answer.body[:200].decode("utf-8", "replace"))

    def summary(self) -> dict[str, Any]:
        """All requests, accounted for: sent = ok + lost, and lost is the sum of every fate but ok."""
        tally = self.tally
        ok = tally.fates["ok"]
        return {
            "schema": 1,
            "sent": tally.sent,
            "ok": ok,
            "lost": tally.sent - ok,
            "by_fate": dict(sorted(tally.fates.items())),
            "by_method": {
                method: dict(sorted(fates.items())) for method, fates in sorted(tally.by_method.items())
            },
            "max_gap_ms": round(tally.max_gap_ms, 1),
            "max_ms": round(max(tally.times_ms, default=0.0), 1),
            "p95_ms": None if not tally.times_ms else round(percentile(tally.times_ms, 0.95) or 0.0, 1),
            "connections_opened": sum(pool.opened for pool in self._pools.values()),
            "closed_while_idle": sum(pool.closed_while_idle for pool in self._pools.values()),
            "versions": tally.versions,
            "lost_requests": tally.lost,
        }


def _version(answer: Answer) -> str | None:
    """Which release answered, where the answer says so: `meta.version` of the envelope, or a bare `version`."""
    try:
        body = json.loads(answer.body)
    except ValueError:
        return None
    if not isinstance(body, dict):
        return None
    meta = body.get("meta")
    found = meta.get("version") if isinstance(meta, dict) else body.get("version")
    return found if isinstance(found, str) else None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code."""
    options = _options(arguments)
    try:
        pools, calls = _aimed(options)
    except (InventoryError, target.TargetError, SloError, UsageError) as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    except (accounts.AccountsError, OSError) as error:
        print(error, file=sys.stderr)
        return EXIT_COULD_NOT_LOOK
    summary = asyncio.run(_probe(pools, calls, options))
    text = json.dumps(summary, indent=2)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    if summary["sent"] == 0:
        print("no request was sent: nothing is proven", file=sys.stderr)
        return EXIT_COULD_NOT_LOOK
    return EXIT_LOST if summary["lost"] else 0


class UsageError(Exception):
    """Arguments that cannot be used."""


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="prober", description="Counts lost requests with clients that never retry."
    )
    parser.add_argument(
        "targets", nargs="+", metavar="INVENTORY | 'METHOD URL'", help="an inventory file, or requests"
    )
    parser.add_argument("--rate", type=float, default=50.0, help="requests/s (default: 50)")
    parser.add_argument("--duration", type=float, default=LONGEST, help="seconds (default: until stopped)")
    parser.add_argument(
        "--clients", type=int, default=40, help="keep-alive connections to rotate through (default: 40)"
    )
    parser.add_argument(
        "--timeout", type=float, default=10.0, help="seconds; a later answer counts as lost (default: 10)"
    )
    parser.add_argument("--body", type=Path, help="JSON body of POST requests (default: {})")
    parser.add_argument(
        "--headers", type=Path, help="JSON object of headers, in a file because they may be secret"
    )
    parser.add_argument("--ca", type=Path, help="CA that must have signed the certificates")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the summary there too")
    options = parser.parse_args(arguments)
    for name in ("rate", "duration", "timeout"):
        if not 0 < getattr(options, name) <= LONGEST:
            parser.error(f"--{name} must be above 0 and at most {LONGEST:g}")
    if options.clients < 1:
        parser.error("--clients must be 1 or more")
    return options


def _aimed(options: argparse.Namespace) -> tuple[dict[str, Pool], Iterator[tuple[str, Call]]]:
    if options.targets[0].endswith(".py"):
        if len(options.targets) > 1:
            raise UsageError("give one inventory, or requests as 'METHOD URL', not both")
        return _through_the_edge(options)
    return _as_told(options)


def _through_the_edge(options: argparse.Namespace) -> tuple[dict[str, Pool], Iterator[tuple[str, Call]]]:
    inventory = load_inventory(Path(options.targets[0]))
    edge = target.public(inventory)
    prepared = accounts.prepare(inventory, edge, load_slo().generator.accounts)
    pool = Pool(edge, options.timeout)
    pool.warm(options.clients)

    def calls() -> Iterator[tuple[str, Call]]:
        rng = random.Random()
        for endpoint in operations.sequence(PUBLIC_MIX, rng):
            yield "public", operations.call(endpoint, rng.choice(prepared), rng)

    return {"public": pool}, calls()


def _as_told(options: argparse.Namespace) -> tuple[dict[str, Pool], Iterator[tuple[str, Call]]]:
    headers = _json_object(options.headers) if options.headers else {}
    body = options.body.read_bytes() if options.body else b"{}"
    pools: dict[str, Pool] = {}
    calls: list[tuple[str, Call]] = []
    for told in options.targets:
        method, _, url = told.rpartition(" ")
        method = method.strip().upper() or "GET"
        if method not in ("GET", "HEAD", "POST", "PUT", "DELETE"):
            raise UsageError(f"{told!r}: write 'GET URL' or 'POST URL'")
        aimed = target.for_url(url)
        if aimed.url not in pools:
            pools[aimed.url] = Pool(replace(aimed, ca_file=options.ca), options.timeout)
            pools[aimed.url].warm(options.clients)
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        own = headers | ({"Content-Type": "application/json"} if method in ("POST", "PUT") else {})
        calls.append((aimed.url, Call(told, method, path, own, body if method in ("POST", "PUT") else None)))
    return pools, _in_turn(calls)


def _in_turn(calls: Sequence[tuple[str, Call]]) -> Iterator[tuple[str, Call]]:
    while True:
        yield from calls


def _json_object(file: Path) -> dict[str, str]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{file}: not JSON ({error}); write an object of header names and values") from error
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise UsageError(f"{file}: not an object of header names and values")
    return value


async def _probe(
    pools: dict[str, Pool], calls: Iterator[tuple[str, Call]], options: argparse.Namespace
) -> dict[str, Any]:
    prober = Prober(pools, options.rate, options.duration)
    loop = asyncio.get_running_loop()
    stop: Callable[[], None] = prober.stop
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await prober.run(calls)
    summary = prober.summary()
    for pool in pools.values():
        pool.close()
    return summary


if __name__ == "__main__":
    sys.exit(main())
