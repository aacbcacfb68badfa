"""Command-line options of the gate as one typed value; wrong input is one error with place and cure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import checks
from checks.catalogue import PHASES, CatalogueError, CatalogueItem, load_catalogue
from checks.gate.errors import GateUsageError

if TYPE_CHECKING:
    from inventories.schema import Inventory

CHECKS_ROOT = Path(checks.__file__).resolve().parent
ALL_PHASES = "all"


@dataclass(frozen=True)
class GateOptions:
    """What the operator asked for, validated."""

    inventory: Inventory
    catalogue: dict[str, CatalogueItem]
    selected: dict[str, CatalogueItem]
    phase: str
    out: Path
    checks_root: Path
    evidence_dir: Path
    allow_unimplemented: bool
    release: dict[str, Any] | None
    load: dict[str, Any] | None
    timeline: list[dict[str, Any]] | None
    proof: dict[str, Any] | None


def add_options(parser: pytest.Parser) -> None:
    """Register the gate's options with pytest."""
    group = parser.getgroup("launchgate", "release gate")
    group.addoption("--inventory", metavar="FILE", help="pyinfra inventory file of the fleet to check")
    group.addoption("--phase", default=ALL_PHASES, metavar="P", help="pre, post, rollback or all (default)")
    group.addoption("--item", action="append", default=[], metavar="ID", help="only this item; repeatable")
    group.addoption("--out", metavar="DIR", help="where report.json, report.html and junit.xml go")
    group.addoption(
        "--allow-unimplemented",
        action="store_true",
        help="let the gate open although items are not implemented",
    )
    group.addoption("--release-manifest", metavar="FILE", help="manifest.json of the release under check")
    group.addoption("--evidence-dir", metavar="DIR", help="code evidence (default: STATE_DIR/evidence)")
    group.addoption("--merge-load", metavar="FILE", help="load.json to judge and to show in the report")
    group.addoption(
        "--timeline", metavar="FILE", help="timeline of the release to show in the report (JSON list)"
    )
    group.addoption("--proof", metavar="FILE", help="proof.json whose sabotage counts the report shows")
    group.addoption(
        "--checks-root", metavar="DIR", help="directory whose check files must all run (default: checks)"
    )
    group.addoption(
        "--catalogue", metavar="DIR", help="directory of catalogue TOML files (default: the 171 items)"
    )


def read_options(config: pytest.Config) -> GateOptions:
    """Validate everything before a machine is touched. Raises GateUsageError."""
    given = config.option
    if not given.inventory:
        raise GateUsageError("--inventory is missing; give one such as --inventory inventories/sandbox.py")
    if given.phase not in (*PHASES, ALL_PHASES):
        raise GateUsageError(f"--phase {given.phase!r} is unknown; use {', '.join((*PHASES, ALL_PHASES))}")
    try:
        catalogue = load_catalogue(Path(given.catalogue)) if given.catalogue else load_catalogue()
    except CatalogueError as fault:
        raise GateUsageError(f"catalogue: {fault}") from fault
    selected = select(catalogue, given.phase, given.item)
    inventory = load_inventory_file(Path(given.inventory))
    out = given.out or config.rootpath / ".launchgate" / "check" / inventory.name
    return GateOptions(
        inventory=inventory,
        catalogue=catalogue,
        selected=selected,
        phase=given.phase,
        out=_writable(Path(out)),
        checks_root=Path(given.checks_root or CHECKS_ROOT).resolve(),
        evidence_dir=Path(given.evidence_dir) if given.evidence_dir else inventory.state_dir / "evidence",
        allow_unimplemented=given.allow_unimplemented,
        release=_release(given.release_manifest),
        load=_read_json("--merge-load", given.merge_load, dict),
        timeline=_read_json("--timeline", given.timeline, list),
        proof=_read_json("--proof", given.proof, dict),
    )


def select(
    catalogue: dict[str, CatalogueItem], phase: str, wanted: Iterable[str]
) -> dict[str, CatalogueItem]:
    """Items of the phase, or those of `wanted` that must belong to it. Raises GateUsageError."""
    wanted = list(dict.fromkeys(wanted))
    for one in wanted:
        if one not in catalogue:
            near = difflib.get_close_matches(one.upper(), catalogue, n=3, cutoff=0.6)
            cure = f"did you mean {', '.join(near)}?" if near else "ids are in checks/catalogue"
            raise GateUsageError(f"--item {one}: no such item; {cure}")
        if phase != ALL_PHASES and phase not in catalogue[one].phases:
            phases = ", ".join(catalogue[one].phases)
            raise GateUsageError(f"--item {one}: not asked in phase {phase}; its phases are {phases}")
    of_phase = {one.id: one for one in catalogue.values() if phase == ALL_PHASES or phase in one.phases}
    return {one: catalogue[one] for one in wanted} if wanted else of_phase


def load_inventory_file(path: Path) -> Inventory:
    """The validated inventory. Raises GateUsageError."""
    from inventories.schema import InventoryError, load_inventory

    try:
        return load_inventory(path)
    except InventoryError as fault:
        raise GateUsageError(str(fault)) from fault


def _writable(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise GateUsageError(
            f"--out {out}: cannot be made ({fault.strerror}); name another directory"
        ) from fault
    return out


def _release(path: str | None) -> dict[str, Any] | None:
    manifest = _read_json("--release-manifest", path, dict)
    if manifest is None:
        return None
    for key in ("version", "commit", "tree", "digest"):
        if not isinstance(manifest.get(key), str):
            raise GateUsageError(
                f"--release-manifest {path}: {key} is missing; give dist/VERSION/manifest.json"
            )
    return dict(manifest)


def _read_json(option: str, path: str | None, shape: type) -> Any:
    if path is None:
        return None
    try:
        value = json.loads(Path(path).read_text())
    except (OSError, ValueError) as fault:
        raise GateUsageError(f"{option} {path}: cannot be read ({fault}); give a JSON file") from fault
    if not isinstance(value, shape):
        raise GateUsageError(
            f"{option} {path}: holds no JSON {shape.__name__}; give the file that the tool wrote"
        )
    return value
