"""Fixtures that checks take, and what one run of the gate shares between them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from checks.gate.edge import EdgeSession
from checks.gate.errors import CouldNotLook
from checks.gate.evidence import Evidence
from checks.gate.fleet import Fleet
from checks.gate.machine import MachineUnderCheck
from checks.gate.options import GateOptions

if TYPE_CHECKING:
    from checks.gate.verdict import GateResult
    from inventories.schema import Inventory

HOST_FIXTURE = "gate_host"
NO_MACHINE = "no machine of "
CONTROL = "control"


@dataclass
class GateRun:
    """Options and machines of this run."""

    options: GateOptions
    fleet: Fleet


@dataclass(eq=False)  # pytest keeps plugins in a set
class SharedRun:
    """A pytest plugin by which the prove engine lends its connections and takes the result back."""

    fleet: Fleet | None = None
    write_reports: bool = True
    result: GateResult | None = None
    interrupted: bool = False


RUN = pytest.StashKey[GateRun]()
EVIDENCE = pytest.StashKey[Evidence]()
STARTED = pytest.StashKey[float]()


def host_of(item: pytest.Item) -> str:
    """Name of the machine that a run is for, "control" for none."""
    callspec = getattr(item, "callspec", None)
    host = callspec.params.get(HOST_FIXTURE, CONTROL) if callspec else CONTROL
    return CONTROL if host.startswith(NO_MACHINE) else str(host)


def _run_of(request: pytest.FixtureRequest) -> GateRun:
    return request.config.stash[RUN]


@pytest.fixture
def gate_host(request: pytest.FixtureRequest) -> str:
    """Name of the machine; could-not-look when the inventory has none for the check's roles."""
    name = str(request.param)
    if name.startswith(NO_MACHINE):
        role = name.removeprefix(NO_MACHINE)
        raise CouldNotLook(f"the inventory has no machine of role {role}; nothing was looked at")
    return name


@pytest.fixture(autouse=True)
def _gate_clock(request: pytest.FixtureRequest) -> None:
    request.node.stash[STARTED] = time.monotonic()


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """The record of this run."""
    kept = Evidence(host_of(request.node))
    request.node.stash[EVIDENCE] = kept
    return kept


@pytest.fixture
def machine(request: pytest.FixtureRequest, gate_host: str) -> MachineUnderCheck:
    """The machine under check."""
    return _run_of(request).fleet.named(gate_host)


@pytest.fixture
def testinfra_host(request: pytest.FixtureRequest, gate_host: str) -> Any:
    """A pytest-testinfra host for the machine, over the same ssh configuration and shared connection."""
    import testinfra

    inventory = _run_of(request).options.inventory
    return testinfra.get_host(f"ssh://{gate_host}", ssh_config=str(inventory.ssh_config()))


@pytest.fixture
def inventory(request: pytest.FixtureRequest) -> Inventory:
    """The inventory under check."""
    return _run_of(request).options.inventory


@pytest.fixture
def fleet(request: pytest.FixtureRequest) -> Fleet:
    """Every machine, for a check that looks at one from another."""
    return _run_of(request).fleet


@pytest.fixture
def edge(request: pytest.FixtureRequest) -> EdgeSession:
    """HTTP to the public edge, pinned to its address and verified."""
    return _run_of(request).fleet.edge()


@pytest.fixture
def release(request: pytest.FixtureRequest) -> dict[str, Any] | None:
    """The release under check (its manifest: version, commit, tree, digest, ...), or None."""
    return _run_of(request).options.release


@pytest.fixture
def evidence_dir(request: pytest.FixtureRequest) -> Path:
    """Where the code evidence of releases is."""
    return _run_of(request).options.evidence_dir


@pytest.fixture
def load_result(request: pytest.FixtureRequest) -> dict[str, Any]:
    """load.json of the load that this gate judges; could-not-look when none was given."""
    load = _run_of(request).options.load
    if load is None:
        raise CouldNotLook("no load was measured; run the load and give its file with --merge-load")
    return load
