"""What the prove engine runs checks with, and what a sabotage may put in its place: release and code evidence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from checks.gate.errors import CouldNotLook
from checks.gate.fixtures import SharedRun
from checks.gate.fleet import Fleet
from checks.gate.verdict import GateResult

if TYPE_CHECKING:
    from inventories.schema import Inventory


@dataclass
class Workbench:
    """Arguments of the engine's check runs.

    A sabotage that takes `bench` may `present()` another release and evidence directory (made in `scratch`) for
    the run under its break, and must `withdraw()` them afterwards.
    """

    inventory: Inventory
    inventory_file: Path
    fleet: Fleet
    checks_root: Path
    catalogue: Path | None
    release_manifest: Path | None
    evidence_dir: Path
    scratch: Path
    log: Path
    load: Path | None = None
    _presented: tuple[Path, Path] | None = field(default=None, init=False)
    _presented_load: Path | None = field(default=None, init=False)

    def present(self, release_manifest: Path, evidence_dir: Path) -> None:
        """Let checks see this release and this evidence until `withdraw()`."""
        self._presented = (release_manifest, evidence_dir)

    def present_load(self, load: Path) -> None:
        """Let checks see this load.json until `withdraw()`."""
        self._presented_load = load

    def withdraw(self) -> None:
        """Show the real release, evidence and load again."""
        self._presented = None
        self._presented_load = None

    def run_checks(
        self, ids: Iterable[str], *, out: Path | None = None, proof: Path | None = None
    ) -> GateResult:
        """Run the checks of these items now, nothing remembered. Reports are written only when `out` is given.

        Raises CouldNotLook when pytest itself does not come to a judgement.
        """
        shared = SharedRun(fleet=self.fleet, write_reports=out is not None)
        manifest, evidence = self._presented or (self.release_manifest, self.evidence_dir)
        load = self._presented_load or self.load
        arguments = [
            str(self.checks_root), "-q", "-p", "checks.gate.plugin", "-p", "no:cacheprovider", "-p", "no:locust",
            # It collects garbage five times a run, and finalisers swallow Ctrl-C.
            "-p", "no:unraisableexception",
            "--import-mode=importlib", "--inventory", str(self.inventory_file), "--checks-root", str(self.checks_root),
            "--evidence-dir", str(evidence), "--out", str(out or self.scratch),
            *(["--catalogue", str(self.catalogue)] if self.catalogue else []),
            *(["--release-manifest", str(manifest)] if manifest else []),
            *(["--merge-load", str(load)] if load else []),
            *(["--proof", str(proof)] if proof else []),
            *(word for one in ids for word in ("--item", one)),
        ]  # fmt: skip
        with self.log.open("a") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            code = pytest.main(arguments, plugins=[shared])
        if shared.interrupted:
            # pytest swallows Ctrl-C; whoever runs a break has to hear it to undo the break.
            raise KeyboardInterrupt
        if shared.result is None:
            raise CouldNotLook(f"the checks did not run (exit {int(code)}); see {self.log}")
        return shared.result
