"""`python -m checks.gate.prove INVENTORY [--item ID]... --out DIR`: run the sabotages, write proof and report."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shlex
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from checks.catalogue import CatalogueError, CatalogueItem, load_catalogue
from checks.gate.breaks import read_breaks
from checks.gate.declare import BreakDeclaration
from checks.gate.errors import CouldNotLook, GateUsageError
from checks.gate.fleet import Fleet
from checks.gate.options import ALL_PHASES, CHECKS_ROOT, load_inventory_file, select
from checks.gate.outcomes import ExitCode
from checks.gate.proving import Proof, Prover, Verdict
from checks.gate.registry import read_registry
from checks.gate.snapshots import Snapshots, sandbox_command
from checks.gate.workbench import Workbench

FEWEST_SABOTAGES = 2


class Stop:
    """A signal handler that interrupts, and remembers it.

    An exception raised while Python runs a finaliser is lost, and pytest collects garbage after every run; so
    whether to stop is asked again after every break.
    """

    def __init__(self) -> None:
        self.requested = False

    def __call__(self, *_: object) -> None:
        """Handle the signal. Raises KeyboardInterrupt the first time: an undo under way is not interrupted."""
        if not self.requested:
            self.requested = True
            raise KeyboardInterrupt

    def obey(self) -> None:
        """Raise KeyboardInterrupt when a signal has come."""
        if self.requested:
            raise KeyboardInterrupt


def main(argv: list[str] | None = None) -> int:
    """0 all KILLED · 1 a break survived or is mis-scoped · 2 usage · 5 could not tell (VOID, DID_NOT_APPLY)."""
    given = _arguments().parse_args(argv)
    stop = Stop()
    before = {one: signal.signal(one, stop) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        return _run(given, stop)
    except GateUsageError as wrong:
        print(f"prove: {wrong}", file=sys.stderr)
        return ExitCode.USAGE
    except CouldNotLook as blind:
        print(f"prove: could not look: {blind}", file=sys.stderr)
        return ExitCode.COULD_NOT_LOOK
    except KeyboardInterrupt:
        print("prove: interrupted; the break under way was undone", file=sys.stderr)
        return ExitCode.COULD_NOT_LOOK
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _run(given: argparse.Namespace, stop: Stop) -> int:
    catalogue = _catalogue(given.catalogue)
    root = Path(given.checks_root).resolve()
    selected = select(catalogue, ALL_PHASES, given.item)
    breaks = _selected_breaks(read_breaks(root, set(catalogue)), selected, given)
    checked = read_registry(root, set(catalogue)).ids()
    out = Path(given.out)
    out.mkdir(parents=True, exist_ok=True)
    started = dt.datetime.now(dt.UTC)
    with tempfile.TemporaryDirectory(prefix="launchgate-prove-") as scratch:
        prover = _prover(given, root, [one for one in catalogue if one in checked], Path(scratch), out)
        prover.begin()
        proofs: list[Proof] = []
        for number, declared in enumerate(breaks, 1):
            proof = prover.prove(declared)
            proofs.append(proof)
            _tell(number, len(breaks), proof)
            _write(out / "proof.json", proofs, selected, checked, prover, started)
            stop.obey()
        # A last look at everything: what the proof leaves behind is part of the proof.
        final = prover.bench.run_checks(prover.ids, out=out, proof=out / "proof.json")
    return _close(proofs, final.exit_code, out)


def _selected_breaks(
    breaks: list[BreakDeclaration], selected: dict[str, CatalogueItem], given: argparse.Namespace
) -> list[BreakDeclaration]:
    chosen = [one for one in breaks if one.item in selected]
    if given.name:
        chosen = [one for one in chosen if one.name in given.name]
    for item in given.item:
        if not any(one.item == item for one in chosen):
            raise GateUsageError(f"--item {item}: has no sabotage; write one in a sabotage_*.py")
    if not chosen:
        raise GateUsageError("no sabotage is selected; name items that have one")
    return chosen


def _prover(given: argparse.Namespace, root: Path, ids: list[str], scratch: Path, out: Path) -> Prover:
    file = Path(given.inventory)
    inventory = load_inventory_file(file)
    fleet = Fleet(inventory)
    fleet.warm()
    command: list[str] | None = None
    if inventory.environment == "sandbox" and not given.no_snapshot:
        command = shlex.split(given.sandbox_command) if given.sandbox_command else sandbox_command()
    log = out / "prove.log"
    log.write_text("")
    bench = Workbench(
        inventory=inventory,
        inventory_file=file,
        fleet=fleet,
        checks_root=root,
        catalogue=Path(given.catalogue) if given.catalogue else None,
        release_manifest=Path(given.release_manifest) if given.release_manifest else None,
        evidence_dir=Path(given.evidence_dir) if given.evidence_dir else inventory.state_dir / "evidence",
        scratch=scratch,
        log=log,
        load=Path(given.merge_load) if given.merge_load else None,
    )
    return Prover(bench, Snapshots(command, f"prove-{os.getpid()}"), ids, narrow=given.breadth == "item")


def _tell(number: int, count: int, proof: Proof) -> None:
    one = proof.declared
    line = f"[{number}/{count}] {proof.verdict:<13} {one.item} {one.name} on {proof.host} ({proof.seconds:.1f} s)"
    print(line, flush=True)
    if proof.verdict not in (Verdict.KILLED, Verdict.GREEN):
        print(f"        {' '.join(proof.reason.split())[:400]}", flush=True)
    if proof.restored_by == "snapshot":
        print("        its undo did not bring green back; a snapshot did: mend the undo", flush=True)


def _write(
    path: Path,
    proofs: list[Proof],
    selected: dict[str, CatalogueItem],
    checked: set[str],
    prover: Prover,
    started: dt.datetime,
) -> None:
    """Written after every break, so that an interrupted run keeps what it has shown."""
    seconds = (dt.datetime.now(dt.UTC) - started).total_seconds()
    document = {
        "schema": 1,
        "inventory": prover.bench.inventory.name,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "totals": dict(Counter(one.verdict.value for one in proofs)),
        "unproven": _unproven(proofs, selected, checked),
        "items": _items(proofs),
    }
    part = path.with_suffix(".part")
    part.write_text(json.dumps(document, indent=1) + "\n")
    part.replace(path)


def _items(proofs: list[Proof]) -> list[dict[str, Any]]:
    items: dict[str, dict[str, Any]] = {}
    for proof in proofs:
        one = proof.declared
        item = items.setdefault(one.item, {"id": one.item, "sabotages": [], "compliant_variants": []})
        told: dict[str, Any] = {"name": one.name, "host": proof.host, "verdict": proof.verdict.value}
        if not one.compliant:
            told |= {
                "went_red": proof.went_red,
                "expected_red": proof.expected_red,
                "near_miss": one.near_miss,
            }
        told |= {
            "seconds": proof.seconds,
            "reason": proof.reason,
            "description": one.description,
            "restored_by": proof.restored_by,
        }
        item["compliant_variants" if one.compliant else "sabotages"].append(told)
    return list(items.values())


def _unproven(proofs: list[Proof], selected: dict[str, CatalogueItem], checked: set[str]) -> dict[str, str]:
    """Checked items that lack two sabotages, a near-miss among them, or a compliant variant."""
    lacking: dict[str, str] = {}
    for item in (one for one in selected if one in checked):
        mine = [proof.declared for proof in proofs if proof.declared.item == item]
        breaks = [one for one in mine if not one.compliant]
        lacks = []
        if len(breaks) < FEWEST_SABOTAGES:
            lacks.append(f"{len(breaks)} of {FEWEST_SABOTAGES} sabotages")
        if not any(one.near_miss for one in breaks):
            lacks.append("no near-miss")
        if len(breaks) == len(mine):
            lacks.append("no compliant variant")
        if lacks:
            lacking[item] = ", ".join(lacks)
    return lacking


def _close(proofs: list[Proof], final_code: int, out: Path) -> int:
    totals = Counter(proof.verdict for proof in proofs)
    counts = " · ".join(f"{count} {verdict}" for verdict, count in totals.items())
    unproven = json.loads((out / "proof.json").read_text())["unproven"]
    if unproven:
        print(f"not fully proven: {len(unproven)} items (see proof.json)")
    print(f"{len(proofs)} breaks: {counts}\nproof: {out / 'proof.json'}\nreport: {out / 'report.html'}")
    if final_code:
        print(f"(the checks afterwards end with exit {final_code}; items red before stay red)")
    if totals.keys() & {Verdict.SURVIVED, Verdict.MIS_SCOPED, Verdict.RED}:
        return ExitCode.CLOSED
    if totals.keys() & {Verdict.VOID, Verdict.DID_NOT_APPLY}:
        return ExitCode.COULD_NOT_LOOK
    return ExitCode.OPEN


def _catalogue(directory: str | None) -> dict[str, CatalogueItem]:
    try:
        return load_catalogue(Path(directory)) if directory else load_catalogue()
    except CatalogueError as fault:
        raise GateUsageError(f"catalogue: {fault}") from fault


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prove", description="Prove that every check notices its sabotages."
    )
    parser.add_argument("inventory", help="pyinfra inventory file")
    parser.add_argument(
        "--item", action="append", default=[], metavar="ID", help="only this item; repeatable"
    )
    parser.add_argument(
        "--name", action="append", default=[], help="only the sabotage of this name; repeatable"
    )
    parser.add_argument(
        "--out", default=str(Path(".launchgate") / "prove" / time.strftime("%Y%m%dT%H%M%S", time.gmtime()))
    )
    parser.add_argument(
        "--breadth",
        choices=("all", "item"),
        default="all",
        help="under each break look at all items (default), or only at those that it names: quick, proves no scope",
    )
    parser.add_argument("--no-snapshot", action="store_true", help="sandbox: rely on undo alone")
    parser.add_argument(
        "--sandbox-command", help="command for snapshot and restore (default: launchgate sandbox)"
    )
    parser.add_argument("--release-manifest", metavar="FILE", help="manifest.json of the release under check")
    parser.add_argument("--merge-load", metavar="FILE", help="load.json of the release under check")
    parser.add_argument("--evidence-dir", metavar="DIR", help="code evidence (default: STATE_DIR/evidence)")
    parser.add_argument("--checks-root", default=str(CHECKS_ROOT), metavar="DIR")
    parser.add_argument("--catalogue", metavar="DIR")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
