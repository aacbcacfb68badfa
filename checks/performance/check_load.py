"""The load that was put on this very release: was it real, and was the release fast enough under it?"""

from __future__ import annotations

import re
from typing import Any

from checks.database.check_schema import app_machines
from checks.gate import CouldNotLook, Evidence, MachineUnderCheck, item
from checks.gate.fleet import Fleet
from checks.probes import slots
from checks.probes.programs import source

FEWEST_REQUESTS = 100  # fewer give no 95th percentile worth the name
SHORTEST_S = 5.0
ACHIEVED_AT_LEAST = 0.99  # of what was planned, answered well
SEARCH_ROUTE = "/api/v1/search"
LIMITS = ("p95_ms", "p99_ms")
COUNTER = re.compile(r"^http_requests_total\{(?P<labels>[^}]*)\} (?P<value>\S+)$", re.MULTILINE)


@item("POST-PERF-1", on=None)
def check_the_load_was_really_put_on_this_release(
    evidence: Evidence, fleet: Fleet, load_result: dict[str, Any]
) -> None:
    """Requests came at the planned moments through the edge, were answered, and this release has counted them."""
    load = sound(load_result)
    evidence.expect(
        looked_at="load.json: model, target",
        observed=(load["model"], load["target"]),
        expected=("open", "public"),
    )
    offered, good = load["offered"]["requests"], load["achieved"]["good"]
    evidence.that(
        offered >= FEWEST_REQUESTS and load["duration_s"] >= SHORTEST_S,
        looked_at="load.json: planned requests, seconds",
        observed=f"{offered} in {load['duration_s']:g} s",
        expected=f"at least {FEWEST_REQUESTS} in {SHORTEST_S:g} s",
    )
    evidence.that(
        good >= ACHIEVED_AT_LEAST * offered,
        looked_at="load.json: requests answered well",
        observed=f"{good} of {offered}",
        expected=f"at least {ACHIEVED_AT_LEAST:.0%}",
    )
    silent = [name for name, numbers in load["endpoints"].items() if not numbers["requests"]]
    evidence.expect(looked_at="load.json: endpoints that nothing was asked of", observed=silent, expected=[])
    counted = sum(_searches(machine, slots.active_slot(machine).name) for machine in app_machines(fleet))
    sent = load["endpoints"]["search"]["requests"]
    evidence.that(
        counted >= sent,
        looked_at="searches that the serving slots have counted since they started, against load.json",
        observed=f"{counted:g} against {sent}",
        expected="at least as many: the load was put on this release and not on an earlier one",
    )


@item("POST-PERF-2", on=None)
def check_response_times_meet_their_objectives(evidence: Evidence, load_result: dict[str, Any]) -> None:
    """Every endpoint of the load kept its own declared objectives, by its own numbers."""
    load = sound(load_result)
    evidence.expect(
        looked_at="load.json: outcome, missed",
        observed=(load["outcome"], load["missed"]),
        expected=("met", []),
    )
    undeclared = sorted(set(load["endpoints"]) ^ set(load["objectives"]))
    evidence.expect(looked_at="endpoints and objectives without the other", observed=undeclared, expected=[])
    for name, numbers in load["endpoints"].items():
        objective = load["objectives"][name]
        over = {
            key: (numbers[key], objective[key]) for key in LIMITS if not _within(numbers[key], objective[key])
        }
        evidence.expect(looked_at=f"{name}: percentiles over their objective", observed=over, expected={})
        rate = numbers["errors"] / numbers["requests"] if numbers["requests"] else 1.0
        evidence.that(
            rate <= objective["max_error_rate"],
            looked_at=f"{name}: errors",
            observed=f"{numbers['errors']} of {numbers['requests']}",
            expected=f"at most {objective['max_error_rate']:.2%}",
        )


def sound(load: dict[str, Any]) -> dict[str, Any]:
    """The load, when it can prove something. Raises CouldNotLook when it is void or not one that we know."""
    if load.get("voided") or load.get("outcome") == "void":
        raise CouldNotLook(f"load.json: void: {load.get('voided')}")
    wanted = (
        "model",
        "target",
        "duration_s",
        "offered",
        "achieved",
        "endpoints",
        "objectives",
        "missed",
        "outcome",
    )
    if missing := [name for name in wanted if name not in load]:
        raise CouldNotLook(
            f"load.json lacks {', '.join(missing)}; give the file that `launchgate load` wrote"
        )
    return load


def counted_requests(text: str, route: str) -> float:
    """Sum of http_requests_total for one route, in Prometheus' text."""
    return sum(float(found["value"]) for found in COUNTER.finditer(text) if f'="{route}"' in found["labels"])


def _within(value: float | None, limit: float) -> bool:
    return value is not None and value <= limit


def _searches(machine: MachineUnderCheck, slot: str) -> float:
    command = f"python3 -I - {slot}"
    answer = machine.run(command, sudo=True, stdin=source("slot_metrics"), cached=False)
    if not answer.ok:
        raise CouldNotLook(f"{machine.name}: metrics of slot {slot}: {answer.stderr.strip()[-200:]}")
    return counted_requests(answer.stdout, SEARCH_ROUTE)
