"""Is there a way back from this release: the earlier one, whole and warm, on a schema that it can read?"""

from __future__ import annotations

import itertools
import json
import shlex
from dataclasses import dataclass
from typing import Any

import pytest

from checks.database.check_schema import app_machines, primary_of
from checks.gate import CouldNotLook, Evidence, MachineUnderCheck, NotApplicable, item
from checks.gate.fixtures import RUN
from checks.gate.fleet import Fleet
from checks.probes import mysql, slots
from checks.probes.programs import source

STATE = "/var/lib/launchgate-release/state.json"
FEWEST_FILES = 500  # of a release with its libraries
# What must be looked at again after going back.
ASKED_AFTER_GOING_BACK = frozenset(
    f"POST-FUNC-{number}" for number in range(1, 6)
) | {"POST-SEC-1", "PRE-DB-2", "APP-KEY-1", "RB-EXEC-3"}  # fmt: skip


@dataclass(frozen=True)
class FleetState:
    """What the fleet itself records: names of the current release, of the one before, of one that is under way."""

    current: str
    previous: str
    under_way: str


@item("RB-PREP-1", on="app", timeout_s=60)
def check_the_release_to_go_back_to_is_whole_and_warm(
    request: pytest.FixtureRequest, machine: MachineUnderCheck, evidence: Evidence, fleet: Fleet
) -> None:
    """What would be served after going back is installed, undamaged, and where it is held, running and ready."""
    phase, state = request.config.stash[RUN].options.phase, recorded_state(fleet)
    held = slots.slots(machine)
    serving = next((one.release for one in held if one.active), "")
    installed = list(_kept(machine)["installed"])
    targets = set()
    if phase != "post":  # before a release, what serves is what one would go back to
        targets |= {serving}
    if phase != "pre":
        targets |= {way_back([one.release for one in held if not one.active], installed, state, serving)}
    if not targets - {""}:
        only = ", ".join(installed) or "nothing"
        raise NotApplicable("an earlier release in the fleet's record, a slot, or installed", f"only {only}")
    looked_at = _kept(machine, *targets)["releases"]
    for target in sorted(targets - {""}):
        evidence.that(
            target in installed,
            looked_at="installed releases",
            observed=installed,
            expected=f"{target}, to go back to",
        )
        _expect_whole(evidence, target, looked_at[target])
        with_it = [one for one in held if one.release == target]
        # One that is only recorded as the last but one may have to be staged again first.
        warm = [(True, True)] if with_it or (state is not None and target == state.current) else []
        evidence.expect(
            looked_at=f"slot with {target}: running, ready",
            observed=[(one.running, one.ready) for one in with_it],
            expected=warm,
        )


@item("RB-PREP-2", on="app")
def check_every_migration_has_a_way_back(
    machine: MachineUnderCheck, evidence: Evidence, fleet: Fleet
) -> None:
    """In the installed release each migration names the one before it, and its way back does something."""
    slots.look_ahead(fleet)
    found = slots.in_force(machine)
    if not found:
        raise NotApplicable("slots that run (search-api-slot status)", "none: nothing is released there yet")
    for one in found:
        steps, where = one.part("schema")["migrations"], f"slot {one.slot}"
        evidence.expect(
            looked_at=f"{where}: migrations, newest first", observed=chain_fault(steps), expected=""
        )
        without = [step["revision"] for step in steps if not step["down_sql"]]
        evidence.expect(
            looked_at=f"{where}: of {len(steps)} migrations, those whose way back does nothing",
            observed=without,
            expected=[],
        )


@item("RB-PREP-2", on=None)
def check_the_release_before_can_read_this_schema(evidence: Evidence, fleet: Fleet) -> None:
    """No migration has shut out the release to go back to: every running slot's code accepts the schema as it is."""
    slots.look_ahead(fleet)
    rows = mysql.query(primary_of(fleet), "SHOW TABLES IN search_api LIKE 'schema_contract'")
    if not rows:
        raise NotApplicable("the table schema_contract", "is not there: nothing was migrated yet")
    oldest = mysql.query(
        primary_of(fleet), "SELECT oldest_reader FROM search_api.schema_contract WHERE id = 1"
    )
    evidence.that(len(oldest) == 1, looked_at="schema_contract", observed=oldest, expected="one row")
    for machine in app_machines(fleet):
        for one in slots.in_force(machine):
            schema, where = one.part("schema"), f"{machine.name}, slot {one.slot}, {one.seen['release']}"
            evidence.that(
                int(schema["number"]) >= int(oldest[0][0]),
                looked_at=f"{where}: schema number of its code against the oldest that may read",
                observed=f"{int(schema['number'])} against {oldest[0][0]}",
                expected="no contract has shut it out",
            )


@item("RB-EXEC-3", on=None)
def check_every_machine_is_where_the_fleet_should_be(
    evidence: Evidence, fleet: Fleet, request: pytest.FixtureRequest
) -> None:
    """The list of what is looked at after going back is whole, and every machine serves what is recorded."""
    catalogue = request.config.stash[RUN].options.catalogue
    asked = {one.id for one in catalogue.values() if "rollback" in one.phases}
    evidence.expect(
        looked_at="items that are asked again after going back",
        observed=sorted(ASKED_AFTER_GOING_BACK - asked),
        expected=[],
    )
    state = recorded_state(fleet)
    serving = {machine.name: slots.active_slot(machine) for machine in app_machines(fleet)}
    wanted = (state and state.current) or sorted({one.release for one in serving.values()})[0]
    evidence.expect(
        looked_at=f"release that each machine serves ({STATE if state else 'no release is recorded: all the same'})",
        observed={name: one.release for name, one in serving.items()},
        expected=dict.fromkeys(serving, wanted),
    )
    evidence.expect(
        looked_at="active slots that run and are ready",
        observed={name: (one.running, one.ready) for name, one in serving.items()},
        expected=dict.fromkeys(serving, (True, True)),
    )


def way_back(spare: list[str], installed: list[str], state: FleetState | None, serving: str) -> str:
    """The release to go back to from the one that serves; empty when there never was another.

    The fleet's own record comes first: a release that is recorded must still be there. Then what is in the `spare`
    slot, then what is installed.
    """
    recorded = (state.current, state.previous) if state else ()
    return next((name for name in (*recorded, *spare, *reversed(installed)) if name and name != serving), "")


def chain_fault(steps: list[dict[str, Any]]) -> str:
    """What is wrong with the chain of migrations, newest first; empty when each leads to the next and to nothing."""
    if not steps:
        return "there is none"
    for newer, older in itertools.pairwise(steps):
        if newer["down_revision"] != older["revision"]:
            return f"{newer['revision']} goes back to {newer['down_revision']}, not to {older['revision']}"
    last = steps[-1]
    return (
        ""
        if last["down_revision"] is None
        else f"{last['revision']} goes back to {last['down_revision']}, which is missing"
    )


def recorded_state(fleet: Fleet) -> FleetState | None:
    """What the machine that keeps the releases' record says; None where none was ever recorded."""
    keepers = fleet.names(("ops",)) or fleet.names(("all",))
    answer = fleet.named(keepers[0]).must(f"[ ! -e {STATE} ] || cat {STATE}", sudo=True)
    if not answer.stdout.strip():
        return None
    try:
        body = json.loads(answer.stdout)
        names = [(body.get(part) or {}).get("release", "") for part in ("current", "previous")]
        begun = ((body.get("unfinished") or {}).get("candidate") or {}).get("release", "")
        return FleetState(names[0], names[1], begun)
    except (ValueError, AttributeError) as wrong:
        raise CouldNotLook(f"{keepers[0]}: {STATE} is no fleet state ({wrong})") from wrong


def _kept(machine: MachineUnderCheck, *releases: str) -> dict[str, Any]:
    """Names of installed releases, and the state of the files of the named ones."""
    named = " ".join(shlex.quote(name) for name in sorted(releases) if name)
    answer = machine.must(f"python3 -I - {named}", sudo=True, stdin=source("kept_releases"), timeout_s=50)
    return dict(json.loads(answer.stdout))


def _expect_whole(evidence: Evidence, release: str, kept: dict[str, Any]) -> None:
    evidence.expect(looked_at=f"{release}: manifest", observed=kept["manifest"], expected="")
    evidence.that(
        kept["files"] >= FEWEST_FILES and kept["damaged"] == 0,
        looked_at=f"{release}: installed files of {kept['packages']} packages against their recorded hashes",
        observed=f"{kept['files']} files, {kept['damaged']} damaged {kept['named'] or ''}",
        expected=f"at least {FEWEST_FILES}, none damaged",
    )
    evidence.expect(
        looked_at=f"{release}: kept wheels that differ from its manifest",
        observed=kept["wheels"],
        expected=[],
    )
