"""Slices of load on two app machines by turns, for the judge: A.jsonl (baseline) and B.jsonl (candidate).

    python -m loadtests.pairs INVENTORY --baseline app2 --candidate app1 --pairs N --rate R --out DIR

Both slices of a pair ask the same questions at the same moments, a second apart and in random order, directly
at each machine. Each side asks as an account of its own, so that neither finds the other's answers in an
owner-keyed cache; as both accounts ask the same from the first pair on, what is cached for them is the same
too. Counters of the service are read when a slice's last answer is in. With --append more pairs are added
to those in DIR.
Exit 0 recorded · 2 usage · 5 void or could not look.
"""

# ruff: noqa: S311 (loads must be repeatable, not secret)

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inventories.schema import Inventory, InventoryError, load_inventory
from loadtests import accounts, operations, pacing, scrape, target
from loadtests.operations import Account, Call
from loadtests.samples import Audit, percentile
from loadtests.slices import Slice, SliceError, read_slices
from loadtests.slo import SLO_FILE, Slo, SloError, load_slo
from loadtests.wire import Lost, Pool

EXIT_USAGE, EXIT_COULD_NOT_LOOK = 2, 5
FILES = {"baseline": "A.jsonl", "candidate": "B.jsonl"}
WARM_UP_SLICES = 2


@dataclass(frozen=True)
class Side:
    """One machine under load."""

    role: str
    machine: str
    pool: Pool


@dataclass
class Book:
    """The generator's own account of all slices."""

    planned: int = 0
    lags: list[float] | None = None
    cpu_start: float = 0.0
    start: float = 0.0

    def audit(self) -> Audit:
        """As for any run; every planned request is sent, for each has a task of its own."""
        lags = self.lags or []
        return Audit(
            planned=self.planned,
            sent=len(lags),
            unsent_busy=0,
            cpu_seconds=time.process_time() - self.cpu_start,
            wall_seconds=time.perf_counter() - self.start,
            lag_p99_ms=(percentile(lags, 0.99) or 0.0) * 1000,
            lag_max_ms=max(lags, default=0.0) * 1000,
            users=0,
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code."""
    options = _options(arguments)
    try:
        slo = load_slo(options.slo)
        inventory = load_inventory(options.inventory)
        first = _first_pair(options)
        prepared = accounts.prepare(
            inventory, target.machine(inventory, options.baseline), slo.generator.accounts
        )
        audit = asyncio.run(_record(inventory, slo, prepared, options, first))
    except (InventoryError, SloError, SliceError, target.TargetError) as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    except (accounts.AccountsError, scrape.ScrapeError, Lost, OSError) as error:
        print(f"{options.baseline} against {options.candidate}: {error}", file=sys.stderr)
        return EXIT_COULD_NOT_LOOK
    limits = slo.generator
    faults = audit.faults(limits.max_cpu_share, limits.max_lag_p99_ms, limits.min_achieved_ratio)
    _write_about(options, audit, faults)
    for fault in faults:
        print(f"void: {fault}", file=sys.stderr)
    return EXIT_COULD_NOT_LOOK if faults else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="pairs", description="Records paired slices of load on two app machines."
    )
    parser.add_argument("inventory", type=Path)
    parser.add_argument(
        "--baseline", required=True, metavar="MACHINE", help="app machine with the version that serves now"
    )
    parser.add_argument(
        "--candidate", required=True, metavar="MACHINE", help="app machine with the version to be released"
    )
    parser.add_argument("--pairs", type=int, default=20, help="pairs of slices (default: 20)")
    parser.add_argument("--rate", type=float, default=40.0, help="requests/s within a slice (default: 40)")
    parser.add_argument("--slice-seconds", type=float, default=1.0, help="length of a slice (default: 1)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--slo", type=Path, default=SLO_FILE, metavar="FILE", help="declared limits")
    parser.add_argument("--append", action="store_true", help="add to the pairs that DIR already holds")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    options = parser.parse_args(arguments)
    if options.pairs < 1:
        parser.error("--pairs must be 1 or more")
    if options.rate * options.slice_seconds < 2 or options.slice_seconds > 600:
        parser.error("--rate times --slice-seconds must be 2 requests or more, and a slice 600 s at most")
    if options.baseline == options.candidate:
        parser.error("--baseline and --candidate are the same machine")
    return options


def _first_pair(options: argparse.Namespace) -> int:
    """The number of the first new pair; without --append, older slices are removed."""
    options.out.mkdir(parents=True, exist_ok=True)
    files = [options.out / name for name in FILES.values()]
    if options.append:
        numbers = [found.pair for file in files if file.exists() for found in read_slices(file)]
        return 1 + max((number for number in numbers if isinstance(number, int)), default=-1)
    for file in files:
        file.unlink(missing_ok=True)
    return 0


async def _record(
    inventory: Inventory, slo: Slo, prepared: list[Account], options: argparse.Namespace, first: int
) -> Audit:
    sides = {
        role: Side(role, name, Pool(target.machine(inventory, name), slo.generator.timeout_seconds))
        for role, name in (("baseline", options.baseline), ("candidate", options.candidate))
    }
    book = Book(lags=[], cpu_start=time.process_time(), start=time.perf_counter())
    try:
        for number in range(-WARM_UP_SLICES, options.pairs):
            rng = random.Random(f"pair-{options.seed}-{first + number}")
            pair = await _pair(sides, first + number, prepared, slo.mix, options, book, rng)
            if number >= 0:
                # Warm-up slices open connections and fill caches on both sides; they are not recorded.
                _append(options.out, pair)
                _progress(number + 1, options.pairs, pair)
    finally:
        for side in sides.values():
            side.pool.close()
    return book.audit()


async def _pair(
    sides: dict[str, Side],
    number: int,
    prepared: list[Account],
    mix: dict[str, int],
    options: argparse.Namespace,
    book: Book,
    rng: random.Random,
) -> dict[str, Slice]:
    moments = list(pacing.arrivals(pacing.steady(options.rate, options.slice_seconds), "constant", rng))
    order = rng.sample(list(sides), 2)
    owners = dict(zip(sides, prepared, strict=False))
    seed = rng.random()
    found = {}
    for role in order:
        calls = _calls(owners[role], mix, len(moments), random.Random(seed))
        found[role] = await _slice(sides[role], number, moments, calls, book)
    return found


def _calls(owner: Account, mix: dict[str, int], count: int, rng: random.Random) -> list[Call]:
    """The same work for the same seed, whoever asks."""
    return [
        operations.call(name, owner, rng) for name in itertools.islice(operations.sequence(mix, rng), count)
    ]


async def _slice(
    side: Side, number: int, moments: Sequence[float], calls: Sequence[Call], book: Book
) -> Slice:
    before = await scrape.read(side.pool, side.machine)
    start = time.perf_counter()
    tasks = []
    for moment, call in zip(moments, calls, strict=True):
        await asyncio.sleep(max(0.0, start + moment - time.perf_counter()))
        book.planned += 1
        assert book.lags is not None
        book.lags.append(time.perf_counter() - start - moment)
        tasks.append(asyncio.create_task(_send(side.pool, call, start + moment)))
    ends = await asyncio.gather(*tasks)
    after = await scrape.read(side.pool, side.machine)
    cpu, counters = scrape.per_request(before, after, len(calls))
    return Slice(
        pair=number,
        requests=len(calls),
        errors=sum(1 for _, wrong in ends if wrong),
        latencies_ms=[round(elapsed, 3) for elapsed, _ in ends],
        cpu_ms_per_request=cpu,
        counters=counters,
    )


async def _send(pool: Pool, call: Call, planned: float) -> tuple[float, str | None]:
    """Milliseconds from the planned moment, and what was wrong with the answer, if anything."""
    try:
        answer = await pool.exchange(call.method, call.path, call.headers, call.body)
        wrong = operations.wrong(answer.status, answer.body)
    except Lost as lost:
        wrong = lost.fate
    return (time.perf_counter() - planned) * 1000, wrong


def _append(out: Path, pair: dict[str, Slice]) -> None:
    for role, name in FILES.items():
        with (out / name).open("a", encoding="utf-8") as file:
            file.write(pair[role].line())


def _progress(done: int, of: int, pair: dict[str, Slice]) -> None:
    terminal = sys.stderr.isatty()
    if not terminal and done % 5 and done != of:
        return
    a, b = (pair[role].cpu_ms_per_request or 0.0 for role in FILES)
    text = f"pairs {done}/{of}  CPU per request {a:.1f} / {b:.1f} ms  errors {pair['candidate'].errors}"
    print(text, end="\r" if terminal and done != of else "\n", file=sys.stderr, flush=True)


def _write_about(options: argparse.Namespace, audit: Audit, faults: list[str]) -> None:
    about: dict[str, Any] = {
        "schema": 1, "baseline": options.baseline, "candidate": options.candidate, "rate": options.rate,
        "slice_seconds": options.slice_seconds, "seed": options.seed, "generator": asdict(audit),
        "voided": faults or None,
    }  # fmt: skip
    (options.out / "pairs.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    # Slices are written whole: an interrupted recording is a shorter one.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(main())
