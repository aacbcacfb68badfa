"""Do the health endpoints answer, on every app machine and at the edge, and speak the truth?"""

from __future__ import annotations

from typing import Any

import pytest

from checks.gate import EdgeSession, Evidence, MachineUnderCheck, item
from checks.gate.fixtures import RUN
from checks.gate.fleet import Fleet
from checks.probes import slots
from checks.probes.api import Answer, call, expect_success, is_utc_time, shape_fault
from inventories.schema import Inventory

APP_PORT = 8443
BARE = "status timestamp version uptime"
NOT_FOUND = 404
# Path, and what `status` may say; Redis' loss is no reason to send nobody there, but here nothing may be lost.
HEALTHY = {"/health": "healthy", "/health/live": "healthy", "/health/ready": "ready"}
INSIDE_ONLY = ("/metrics", "/health/detailed")


@item("POST-FUNC-1", on="app")
def check_the_machine_is_live_and_ready(
    request: pytest.FixtureRequest,
    machine: MachineUnderCheck,
    evidence: Evidence,
    inventory: Inventory,
    release: dict[str, Any] | None,
) -> None:
    """The machine itself says over verified TLS that the release of its active slot is live and ready."""
    serving = slots.active_slot(machine)
    wanted = expected_version(request, release) or serving.version
    direct = EdgeSession(
        f"https://{machine.name}:{APP_PORT}",
        machine.address,
        inventory.internal_ca_file,
        lambda: machine.unremembering().run("true").ok,
    )
    for path, status in HEALTHY.items():
        _expect_healthy(evidence, call(direct, "GET", path), status, wanted)
    evidence.expect(looked_at="version in the active slot", observed=serving.version, expected=wanted)


@item("POST-FUNC-1", on=None)
def check_the_edge_passes_health_on(
    request: pytest.FixtureRequest,
    evidence: Evidence,
    edge: EdgeSession,
    fleet: Fleet,
    release: dict[str, Any] | None,
) -> None:
    """The edge answers as the machines do, also in the envelope, and keeps the inner pages to itself."""
    versions = {slots.active_slot(fleet.named(name)).version for name in fleet.names(("app",))}
    evidence.that(
        len(versions) == 1, looked_at="versions that serve", observed=sorted(versions), expected="one"
    )
    wanted = expected_version(request, release) or versions.pop()
    for path, status in HEALTHY.items():
        # As often as there are machines: the balancer takes turns.
        for _ in fleet.names(("app",)):
            _expect_healthy(evidence, call(edge, "GET", path), status, wanted)
    answer = call(edge, "GET", "management/health")
    data = expect_success(evidence, answer)
    fault = shape_fault(data, f"{BARE} authenticationMethods")
    evidence.expect(looked_at=f"{answer.asked}: data", observed=fault or data["status"], expected="healthy")
    for path in INSIDE_ONLY:
        got = call(edge, "GET", path)
        evidence.expect(looked_at=f"{got.asked} from outside", observed=got.status, expected=NOT_FOUND)


def expected_version(request: pytest.FixtureRequest, release: dict[str, Any] | None) -> str:
    """The version that must answer; empty after going back, when the release under check is the one that left."""
    gone_back = request.config.stash[RUN].options.phase == "rollback"
    return "" if release is None or gone_back else str(release["version"])


def _expect_healthy(evidence: Evidence, answer: Answer, status: str, version: str) -> None:
    fault = f"status {answer.status}" if answer.status != 200 else health_fault(answer.body, status, version)
    evidence.that(
        not fault,
        looked_at=f"{answer.asked} ({answer.headers.get('content-type', 'no type')})",
        observed=f"{fault}: {answer.shown}" if fault else f"{status}, {version}",
        expected=f"200 with fields {BARE}; {status}, {version}",
    )


def health_fault(body: Any, status: str, version: str) -> str:
    """What is not as it should be in a bare answer about health; empty when all is."""
    if fault := shape_fault(body, BARE):
        return fault
    if body["status"] != status:
        return f"says {body['status']}"
    if body["version"] != version:
        return f"is version {body['version']}"
    if not is_utc_time(body["timestamp"]):
        return "timestamp is no RFC 3339 time in UTC"
    uptime = body["uptime"]
    return "" if isinstance(uptime, int | float) and uptime >= 0 else "uptime is no number of seconds"
