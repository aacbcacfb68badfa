"""`python -m checks.code_quality.collect --source DIR --out FILE`: look at one source tree, write its evidence.

Exits 0 when everything passes, 1 when something fails, 5 when something could not be looked at, 2 on wrong use.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from checks.code_quality.advisories import MIRROR_AGE_DAYS, Mirror, audit
from checks.code_quality.currency import check_currency
from checks.code_quality.dossier import SCHEMA_VERSION, write_dossier
from checks.code_quality.identity import identify
from checks.code_quality.static import check_lint, check_types
from checks.code_quality.suites import run_suites
from checks.code_quality.tooling import Finding, tool_version
from checks.gate import CouldNotLook

TESTS, TYPES, LINT, COVERAGE, AUDIT, CURRENCY = (f"PRE-CODE-{number}" for number in range(1, 7))
ALL_ITEMS = (TESTS, TYPES, LINT, COVERAGE, AUDIT, CURRENCY)
TOOLS = ("pytest", "mypy", "ruff", "coverage", "pip_audit", "uv")
# The tests take as long as all the rest together; each is a process of its own.
AT_ONCE = 2
Stage = Callable[[], tuple[Finding, ...]]


def collect(source: Path, mirror: Mirror | None, only: tuple[str, ...] = ALL_ITEMS) -> dict[str, Any]:
    """The evidence document of one source tree. Raises CouldNotLook when the source is no checkout, or moves."""
    started = dt.datetime.now(dt.UTC)
    before = identify(source)
    items: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="launchgate-evidence-") as name:
        wanted = [stage for stage in _stages(source, Path(name), mirror) if set(stage[0]) & set(only)]
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="stage") as lanes:
            for told in lanes.map(lambda stage: _run(*stage), wanted):
                items.update(told)
    if identify(source) != before:
        raise CouldNotLook(f"{source} changed while it was looked at; collect again")
    return {
        "schema": SCHEMA_VERSION,
        "commit": before.commit,
        "tree": before.tree,
        "started": started.isoformat(timespec="seconds"),
        "ended": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "tools": {"python": sys.version.split()[0], **{tool: tool_version(source, tool) for tool in TOOLS}},
        "items": {one: items[one] for one in ALL_ITEMS if one in items},
    }


def _stages(source: Path, scratch: Path, mirror: Mirror | None) -> list[tuple[tuple[str, ...], Stage]]:
    return [
        ((TESTS, COVERAGE), lambda: run_suites(source, scratch)),
        ((TYPES,), lambda: (check_types(source, scratch),)),
        ((LINT,), lambda: (check_lint(source),)),
        ((CURRENCY,), lambda: (check_currency(source, scratch),)),
        ((AUDIT,), lambda: (audit(source, mirror),)),
    ]


def _run(ids: tuple[str, ...], stage: Stage) -> dict[str, dict[str, Any]]:
    started = time.monotonic()
    try:
        findings = stage()
    except CouldNotLook as blind:
        findings = tuple(Finding("ERROR", str(blind)) for _ in ids)
    seconds = round(time.monotonic() - started, 2)
    told = {}
    for one, finding in zip(ids, findings, strict=True):
        told[one] = {
            "outcome": finding.outcome, "reason": finding.reason, "figures": finding.figures, "seconds": seconds,
        }  # fmt: skip
        print(f"{finding.outcome:<6} {one} {finding.reason} ({seconds:.1f} s)", flush=True)
    return told


def main(argv: list[str] | None = None) -> int:
    """Collect and write; the exit code tells the worst finding."""
    given = _arguments().parse_args(argv)
    try:
        mirror = _mirror(given)
        document = collect(Path(given.source).resolve(), mirror, tuple(given.only) or ALL_ITEMS)
        write_dossier(Path(given.out), document)
    except CouldNotLook as blind:
        print(f"collect: {blind}", file=sys.stderr)
        return 5
    except OSError as fault:
        print(f"collect: --out {given.out}: {fault.strerror}; name another file", file=sys.stderr)
        return 2
    outcomes = {one["outcome"] for one in document["items"].values()}
    print(f"evidence: {given.out}")
    return 5 if "ERROR" in outcomes else 1 if "FAIL" in outcomes else 0


def _mirror(given: argparse.Namespace) -> Mirror | None:
    if given.advisory_mirror:
        return Mirror(Path(given.advisory_mirror), given.advisory_max_age_days)
    if not given.inventory:
        return None
    from inventories.schema import InventoryError, load_inventory

    try:
        settings = load_inventory(Path(given.inventory)).settings
    except InventoryError as fault:
        raise CouldNotLook(str(fault)) from fault
    directory = getattr(settings, "advisory_mirror", None)
    age = getattr(settings, "advisory_max_age_days", MIRROR_AGE_DAYS)
    return Mirror(Path(directory), float(age)) if directory else None


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="collect", description="Collect the evidence of the code items.")
    parser.add_argument(
        "--source", required=True, metavar="DIR", help="root of the checkout that is released"
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="where the evidence goes")
    parser.add_argument(
        "--inventory", metavar="FILE", help="take advisory_mirror and its age limit from here"
    )
    parser.add_argument("--advisory-mirror", metavar="DIR", help="directory of advisories in OSV format")
    parser.add_argument("--advisory-max-age-days", type=float, default=MIRROR_AGE_DAYS, metavar="N")
    parser.add_argument(
        "--only", action="append", default=[], choices=ALL_ITEMS, help="only this item; repeatable"
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
