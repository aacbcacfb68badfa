"""Health endpoints answer the truth, on each app machine and through the edge."""

from __future__ import annotations

import datetime as dt
from typing import Any

import requests

from checks.gate import CouldNotLook, EdgeSession, Evidence, MachineUnderCheck, item
from checks.gate.fleet import Fleet
from inventories.schema import Inventory

APP_PORT = 8443
CLOCK_SLACK_S = 60.0


@item("INF-MON-6", on="app")
def check_each_app_machine_is_alive_and_ready(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory, fleet: Fleet
) -> None:
    door = EdgeSession(
        f"https://app.{inventory.settings.domain}:{APP_PORT}",
        machine.address,
        inventory.internal_ca_file,
        lambda: fleet.named(machine.name).unremembering().run("true").ok,
    )
    _expect_health(evidence, machine.name, door)


@item("INF-MON-6", on=None)
def check_the_edge_answers_for_the_service(evidence: Evidence, edge: EdgeSession) -> None:
    _expect_health(evidence, "the edge", edge)


def _expect_health(evidence: Evidence, where: str, session: requests.Session) -> None:
    for path, statuses in (
        ("/health", ("healthy",)),
        ("/health/live", ("healthy",)),
        ("/health/ready", ("ready",)),
    ):
        answer = session.get(path)
        evidence.expect(looked_at=f"GET {path} of {where}", observed=answer.status_code, expected=200)
        said = _bare(answer, where, path)
        evidence.that(
            said.get("status") in statuses,
            looked_at=f"status in {path} of {where}",
            observed={key: said[key] for key in ("status", "degraded", "failing") if key in said},
            expected=" or ".join(statuses),
        )
        missing = sorted({"status", "timestamp", "version", "uptime"} - said.keys())
        evidence.expect(looked_at=f"fields missing from {path} of {where}", observed=missing, expected=[])
        # An answer that somebody made up or kept has another time than now.
        age = abs(
            (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(str(said["timestamp"]))).total_seconds()
        )
        evidence.that(
            age <= CLOCK_SLACK_S,
            looked_at=f"age of the timestamp in {path} of {where}",
            observed=f"{age:.0f} s",
            expected=f"at most {CLOCK_SLACK_S:.0f} s",
        )


def _bare(answer: requests.Response, where: str, path: str) -> dict[str, Any]:
    try:
        said = answer.json()
    except ValueError as fault:
        raise AssertionError(f"{path} of {where} is no JSON: {answer.text[:120]!r}") from fault
    if not isinstance(said, dict):
        raise CouldNotLook(f"{path} of {where} is JSON but no object: {answer.text[:120]!r}")
    return said
