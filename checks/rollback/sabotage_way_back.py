"""Breaks of the way back."""

# ruff: noqa: S608 (what is put into statements is our own)

from __future__ import annotations

from collections.abc import Iterator

from checks.breaks import files, sql
from checks.gate import CouldNotLook, DidNotApply, MachineUnderCheck, sabotage
from checks.probes import slots

VERSIONS = "venv/lib/python3*/site-packages/search_api/migrations/versions"


def _spare(machine: MachineUnderCheck) -> slots.Slot:
    """The slot that one would go back to."""
    found = next((one for one in slots.slots(machine) if not one.active and one.running), None)
    if found is None:
        raise CouldNotLook(
            f"{machine.name}: no earlier release runs; deploy two releases before proving this"
        )
    return found


def _installed(machine: MachineUnderCheck, pattern: str, slot: slots.Slot) -> str:
    """The one file of a slot's release that matches."""
    found = machine.must(f"ls /srv/search-api/releases/{slot.release}/{pattern}", sudo=True).lines()
    if len(found) != 1:
        raise DidNotApply(f"{pattern}: {found}")
    return found[0]


@sabotage("RB-PREP-1", on="app2", reason="running, ready")
def the_earlier_release_was_stopped(machine: MachineUnderCheck) -> Iterator[None]:
    """Going back would begin with a cold start."""
    spare = _spare(machine)
    try:
        machine.must(f"{slots.TOOL} stop {spare.name}", sudo=True, timeout_s=60)
        yield
    finally:
        machine.must(f"{slots.TOOL} start {spare.name} {spare.release}", sudo=True, timeout_s=60)


@sabotage("RB-PREP-1", on="app1", near_miss=True, reason="damaged")
def the_earlier_release_is_there_but_a_file_was_changed(machine: MachineUnderCheck) -> Iterator[None]:
    """Somebody mended something by hand in what one would go back to; it runs, for it was started before."""
    path = _installed(machine, "venv/lib/python3*/site-packages/search_api/passwords.py", _spare(machine))
    # Releases share files by hard links: the change must be of this name alone.
    with files.edited(
        machine, path, "cp -p $f $f.new && echo '# mended' >>$f.new && mv $f.new $f", shows="# mended"
    ):
        yield


@sabotage(
    "RB-PREP-2",
    on="app1",
    may_also_red=("PRE-DB-2", "RB-PREP-1", "PRE-DB-3"),
    reason="way back|goes back|schema",
)
def a_migration_script_is_missing(machine: MachineUnderCheck) -> Iterator[None]:
    """The chain is broken in the middle: neither up nor down leads anywhere."""
    active = slots.active_slot(machine)
    path = _installed(machine, f"{VERSIONS}/v0004_*.py", active)
    try:
        machine.must(f"mv {path} {path}.gone", sudo=True)
        yield
    finally:
        machine.must(f"mv {path}.gone {path}", sudo=True)


@sabotage("RB-PREP-2", on="app1", near_miss=True, may_also_red=("RB-PREP-1",), reason="0006")
def a_migration_has_a_downgrade_that_does_nothing(machine: MachineUnderCheck) -> Iterator[None]:
    """The function is there; its body is `pass`."""
    path = _installed(machine, f"{VERSIONS}/v0006_*.py", slots.active_slot(machine))
    emptied = "/^def downgrade/,$c def downgrade() -> None:\\n    pass"
    script = f"cp -p $f $f.new && sed -i '{emptied}' $f.new && mv $f.new $f"
    with files.edited(machine, path, script, shows="    pass"):
        yield


@sabotage(
    "RB-PREP-2",
    on="db1",
    near_miss=True,
    may_also_red=("POST-FUNC-1", "PRE-DB-2", "INF-LB-3", "INF-MON-6"),
    reason="shut it out|schema|reader",
)
def a_contract_has_shut_the_earlier_release_out(machine: MachineUnderCheck) -> Iterator[None]:
    """The schema says that only newer code may read it, while the old one is still the way back."""
    before = sql.run(machine, "SELECT oldest_reader FROM schema_contract WHERE id = 1")[0][0]
    with sql.changed(
        machine,
        "UPDATE schema_contract SET oldest_reader = 9999",
        f"UPDATE schema_contract SET oldest_reader = {int(before)}",
        shows="SELECT 1 FROM schema_contract WHERE oldest_reader = 9999",
    ):
        yield


@sabotage(
    "RB-EXEC-3",
    on="app2",
    may_also_red=("RB-PREP-1", "POST-FUNC-1", "POST-PERF-1", "PRE-DB-2"),
    reason="serves",
)
def one_machine_stayed_behind(machine: MachineUnderCheck) -> Iterator[None]:
    """It was switched alone, by hand: half of the users are on another release."""
    active, spare = slots.active_slot(machine), _spare(machine)
    if active.release == spare.release:
        raise CouldNotLook(f"{machine.name}: both slots hold {active.release}; deploy two releases first")
    try:
        machine.must(f"{slots.TOOL} switch {spare.name}", sudo=True)
        yield
    finally:
        machine.must(f"{slots.TOOL} switch {active.name}", sudo=True)


@sabotage(
    "RB-EXEC-3",
    on="app1",
    near_miss=True,
    may_also_red=("POST-FUNC-1", "INF-LB-3", "INF-MON-6"),
    reason="ready",
)
def every_machine_serves_the_right_release_but_one_is_not_ready(machine: MachineUnderCheck) -> Iterator[None]:
    """The release is right on paper; the slot drains."""
    with files.added(machine, f"/run/search-api/{slots.active_slot(machine).name}/drain", ""):
        yield
