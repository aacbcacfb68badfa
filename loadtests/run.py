"""One load against a deployed service: prepares accounts, runs the stock Locust on locustfile.py, judges the
result.

    python -m loadtests.run INVENTORY --scenario smoke|average|peak [--rate R] [--duration S] --out DIR
    [--target public|app1]

Exit 0 objectives met · 1 not met · 2 usage · 5 void or could not look. Writes load.json, load.html and
samples.jsonl to DIR.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from inventories.schema import InventoryError, load_inventory
from loadtests import accounts, report, results, samples, scenarios, target
from loadtests.slo import SLO_FILE, SloError, load_slo

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
EXIT = {results.MET: 0, results.MISSED: 1, results.VOID: 5}
EXIT_USAGE, EXIT_COULD_NOT_LOOK = 2, 5
# Beyond load and drain: starting Locust, looking at the accounts again, spawning users.
START_UP_SECONDS = 90.0
# Signals that asked this command to end.
_asked_to_leave: list[int] = []


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code."""
    options = _options(arguments)
    try:
        return _run(options)
    except (InventoryError, SloError, target.TargetError) as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    except (accounts.AccountsError, OSError) as error:
        print(error, file=sys.stderr)
        return EXIT_COULD_NOT_LOOK


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="launchgate load", description="Puts a declared load on the service and holds it to slo.toml."
    )
    parser.add_argument("inventory", type=Path)
    parser.add_argument(
        "--scenario", default="average", help="a load declared in slo.toml (default: average)"
    )
    parser.add_argument("--rate", type=float, help="requests/s instead of the scenario's")
    parser.add_argument("--duration", type=float, help="seconds instead of the scenario's")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same requests at the same moments")
    parser.add_argument(
        "--target", default="public", help="public (through the load balancer) or an app machine's name"
    )
    parser.add_argument("--slo", type=Path, default=SLO_FILE, metavar="FILE", help="declared objectives")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> int:
    slo = load_slo(options.slo)
    scenario = scenarios.scenario(slo, options.scenario, options.rate, options.duration)
    inventory = load_inventory(options.inventory)
    aimed = target.by_name(inventory, options.target)
    aimed.tls()
    options.out.mkdir(parents=True, exist_ok=True)
    accounts.prepare(inventory, aimed, slo.generator.accounts)
    record_file = options.out / "samples.jsonl"
    record_file.unlink(missing_ok=True)
    environment = os.environ | {"LAUNCHGATE_INVENTORY": str(options.inventory)}
    log = options.out / "locust.log"
    with log.open("w", encoding="utf-8") as output:
        generator = subprocess.Popen(
            _command(options, scenario, aimed, slo.generator.max_in_flight, record_file),
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _follow(
                generator, record_file, scenario.duration + slo.generator.drain_seconds + START_UP_SECONDS
            )
        finally:
            _end(generator)
    record = samples.read(record_file)
    if record.audit is None:
        record.trouble = f"{record.trouble}: exit code {generator.returncode}, see {log}"
    summary = results.summarise(record, scenario, slo, options.target)
    (options.out / "load.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    (options.out / "load.html").write_text(report.page(summary, record), encoding="utf-8")
    print(results.sentence(summary))
    return EXIT[summary["outcome"]]


def _command(
    options: argparse.Namespace,
    scenario: scenarios.Scenario,
    aimed: target.Target,
    users: int,
    record_file: Path,
) -> list[str]:
    return [
        sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary",
        "--host", aimed.url, "--users", str(users), "--spawn-rate", str(users),
        "--scenario", scenario.name, "--rate", str(scenario.profile[0].start_rate),
        "--duration", str(scenario.duration),
        "--seed", str(options.seed), "--slo", str(options.slo), "--samples", str(record_file),
        # Failed requests are counted by us; Locust's exit code is for failures of its own.
        "--exit-code-on-error", "0",
    ]  # fmt: skip


def _follow(generator: subprocess.Popen[bytes], record_file: Path, limit: float) -> None:
    """A line of progress each second on a terminal, every five seconds elsewhere, until the generator ends."""
    terminal = sys.stderr.isatty()
    every, started, shown = (1.0 if terminal else 5.0), time.monotonic(), 0.0
    while generator.poll() is None and time.monotonic() - started < limit and not _asked_to_leave:
        time.sleep(0.1)
        elapsed = time.monotonic() - started
        if elapsed - shown >= every:
            shown = elapsed
            print(
                _progress(record_file, elapsed), end="\r" if terminal else "\n", file=sys.stderr, flush=True
            )
    if terminal:
        print(file=sys.stderr)


def _progress(record_file: Path, elapsed: float) -> str:
    found = samples.read(record_file).samples
    if not found:
        return f"load {elapsed:4.0f} s  preparing"
    recent = [sample.response_ms for sample in found if sample.done > found[-1].done - 5]
    errors = sum(1 for sample in found if sample.error)
    return (
        f"load {elapsed:4.0f} s  {len(found)} answers  {errors} errors  "
        f"last 5 s: {len(recent) / 5:.0f}/s p95 {samples.percentile(recent, 0.95) or 0:.0f} ms   "
    )


def _end(generator: subprocess.Popen[bytes]) -> None:
    if generator.poll() is not None:
        return
    generator.terminate()
    try:
        generator.wait(15)
    except subprocess.TimeoutExpired:
        generator.kill()
        generator.wait()


def _leave(number: int, _: object) -> None:
    # Only noted: an exception in the middle of starting the generator would leave it behind.
    _asked_to_leave.append(number)


if __name__ == "__main__":
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, _leave)
    code = main()
    sys.exit(128 + _asked_to_leave[0] if _asked_to_leave else code)
