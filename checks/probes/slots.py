"""An app machine's slots: which serves, what each holds, and what its process really runs with."""

from __future__ import annotations

import json
import shlex
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from checks.gate import CommandResult, CouldNotLook, MachineUnderCheck
from checks.gate.fleet import Fleet
from checks.probes.programs import source

TOOL = "/usr/local/sbin/search-api-slot"
NAMES = ("blue", "green")
LOOK_TIMEOUT_S = 60.0
# All running slots at once: starting an interpreter with the service's libraries takes most of a second.
_IN_EVERY_SLOT = """program=$(cat); out=$(mktemp -d /run/launchgate-look.XXXXXX); trap 'rm -rf "$out"' EXIT
for slot in blue green; do
  systemctl -q is-active search-api@$slot.service || continue
  /srv/search-api/slots/$slot/venv/bin/python -I -B -c "$program" $slot {arguments} >$out/$slot 2>$out/$slot.err &
done; wait
for slot in blue green; do
  [ -e $out/$slot ] && echo "$slot $(tail -n 1 $out/$slot)" && tail -n 3 $out/$slot.err >&2
done; true"""

_BOOT = "import json, sys; exec(compile(json.loads(sys.stdin.readline()), 'look', 'exec'))"


@dataclass(frozen=True)
class Slot:
    """One slot as the host's own tool shows it. `release` is empty when the slot holds none."""

    name: str
    release: str
    version: str
    running: bool
    ready: bool
    active: bool


@dataclass(frozen=True)
class InForce:
    """What the process of a running slot runs with; see remote/in_force.py for the parts of `seen`."""

    slot: str
    active: bool
    seen: dict[str, Any]

    @property
    def left_behind(self) -> bool:
        """Whether this is the earlier release, started before the settings were last changed, kept warm as it is."""
        return bool(self.seen["stale"]) and not self.active

    @property
    def values(self) -> dict[str, Any]:
        """The settings, defaults included; secrets are struck out. Raises AssertionError when they do not load."""
        return dict(self.part("settings")["values"])

    def part(self, name: str) -> dict[str, Any]:
        """One part. Raises AssertionError with the release's own words when it could not be had."""
        found = self.seen[name]
        if found.get("fault"):
            raise AssertionError(f"slot {self.slot}: {name}: {found['fault']}")
        return dict(found)


def slots(machine: MachineUnderCheck) -> tuple[Slot, ...]:
    """Both slots. Raises CouldNotLook when the host's tool is missing or does not say."""
    answer = machine.must(f"{TOOL} status", sudo=True)
    return parse_status(answer.stdout)


def parse_status(text: str) -> tuple[Slot, ...]:
    """Slots from `search-api-slot status`. Raises CouldNotLook when that is not what the text is."""
    try:
        body = json.loads(text)
        return tuple(
            Slot(
                name,
                one["release"],
                one["version"],
                bool(one["running"]),
                bool(one["ready"]),
                body["active"] == name,
            )
            for name, one in body["slots"].items()
        )
    except (ValueError, KeyError, TypeError, AttributeError) as wrong:
        raise CouldNotLook(f"search-api-slot status: not slots as JSON: {text[:200]!r}") from wrong


def active_slot(machine: MachineUnderCheck) -> Slot:
    """The slot that serves. Raises AssertionError when none does."""
    found = next((one for one in slots(machine) if one.active), None)
    if found is None:
        raise AssertionError(f"{machine.name}: no slot is active; nothing is released there")
    return found


def in_force(machine: MachineUnderCheck) -> tuple[InForce, ...]:
    """What every running slot runs with, the active one first. Raises CouldNotLook when a look fails."""
    seen = _run_in_slots(machine, "in_force")
    active = {one.name for one in slots(machine) if one.active}
    found = (InForce(name, name in active, body) for name, body in seen.items())
    return tuple(sorted(found, key=lambda one: not one.active))


def serving(machine: MachineUnderCheck) -> tuple[InForce, ...]:
    """As `in_force`. Raises AssertionError when nothing runs there: a release must be served."""
    found = in_force(machine)
    if not found:
        raise AssertionError(f"{machine.name}: no slot runs; nothing is released there")
    return found


def look_ahead(fleet: Fleet) -> None:
    """Look at all app machines at the same time; what fails is told by the check that needs it."""
    machines = [fleet.named(name) for name in fleet.names(("app",))]
    if machines:
        with ThreadPoolExecutor(max_workers=len(machines)) as pool:
            list(pool.map(lambda one: _ask(one, "in_force", ""), machines))


def in_active_slot(machine: MachineUnderCheck, program: str, data: object = None) -> dict[str, Any]:
    """What a program of remote/ prints when the active slot's release runs it with `data` on standard input.

    `data` may hold secrets. Raises CouldNotLook.
    """
    slot = active_slot(machine).name
    command = f"/srv/search-api/slots/{slot}/venv/bin/python -I -B -c {shlex.quote(_BOOT)} {slot}"
    sent = f"{json.dumps(source(program))}\n{json.dumps(data)}\n"
    answer = machine.must(command, sudo=True, stdin=sent, timeout_s=LOOK_TIMEOUT_S)
    return _parsed(machine, slot, answer.stdout.splitlines()[-1:])


def _run_in_slots(machine: MachineUnderCheck, program: str, arguments: str = "") -> dict[str, dict[str, Any]]:
    answer = _ask(machine, program, arguments)
    if isinstance(answer, CouldNotLook):
        raise answer
    found: dict[str, dict[str, Any]] = {}
    for line in answer.stdout.splitlines():
        slot, _, body = line.partition(" ")
        if not body.startswith("{"):
            raise CouldNotLook(
                f"{machine.name}: slot {slot}: {program} failed: {answer.stderr.strip()[-300:]}"
            )
        found[slot] = _parsed(machine, slot, [body])
    return found


def _ask(machine: MachineUnderCheck, program: str, arguments: str) -> CommandResult | CouldNotLook:
    command = _IN_EVERY_SLOT.format(arguments=arguments)
    try:
        return machine.must(command, sudo=True, stdin=source(program), timeout_s=LOOK_TIMEOUT_S)
    except CouldNotLook as blind:
        return blind


def _parsed(machine: MachineUnderCheck, slot: str, lines: list[str]) -> dict[str, Any]:
    try:
        body = json.loads(lines[0])
    except (ValueError, IndexError) as wrong:
        raise CouldNotLook(f"{machine.name}: slot {slot}: no JSON: {' '.join(lines)[:200]!r}") from wrong
    return dict(body)
