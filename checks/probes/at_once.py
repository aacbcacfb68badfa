"""The same look at every machine, taken at the same time; machines remember, so later looks cost nothing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from checks.gate import CouldNotLook, MachineUnderCheck
from checks.gate.fleet import ALL, Fleet


def look_at_all(
    fleet: Fleet, machine: MachineUnderCheck, look: Callable[[MachineUnderCheck], object]
) -> None:
    """When `machine` is the fleet's first, take the look at all machines; else that was done already.

    What a look raises is raised again where the check itself takes it.
    """
    names = fleet.names((ALL,))
    if machine.name != names[0]:
        return
    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        list(pool.map(lambda name: _quietly(look, fleet.named(name)), names))


def _quietly(look: Callable[[MachineUnderCheck], object], machine: MachineUnderCheck) -> None:
    try:
        look(machine)
    except CouldNotLook:
        return  # remembered with the machine's other answers
