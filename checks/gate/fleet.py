"""The machines of an inventory as checks see them, with their connections warmed together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from checks.gate.edge import EdgeSession
from checks.gate.errors import CouldNotLook
from checks.gate.machine import MachineUnderCheck
from checks.gate.transport import SshTransport

if TYPE_CHECKING:
    from inventories.schema import Inventory

ALL = "all"


class Fleet:
    """Every machine of one inventory, each behind one shared ssh connection."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        config = inventory.ssh_config()
        self._machines = {
            one.name: MachineUnderCheck(one.name, one.address, one.roles, SshTransport(one.name, config))
            for one in inventory.machines
        }

    def named(self, name: str) -> MachineUnderCheck:
        """The machine of that name. Raises CouldNotLook when the inventory has none."""
        if name not in self._machines:
            raise CouldNotLook(f"the inventory has no machine {name!r}; it has {', '.join(self._machines)}")
        return self._machines[name]

    def names(self, on: tuple[str, ...]) -> list[str]:
        """Names of the machines that hold any of the roles, in the inventory's order."""
        if ALL in on:
            return list(self._machines)
        return [name for name, one in self._machines.items() if set(one.roles) & set(on)]

    def target(self, on: str) -> MachineUnderCheck:
        """A sabotage's machine: the one of that name, or the first of that role; it remembers nothing."""
        if on in self._machines:
            return self._machines[on].unremembering()
        names = self.names((on,))
        if not names:
            raise CouldNotLook(f"the inventory has no machine and no role {on!r}")
        return self._machines[names[0]].unremembering()

    def forget(self) -> None:
        """Drop every remembered answer of every machine."""
        for one in self._machines.values():
            one.forget()

    def warm(self) -> None:
        """Open all connections at the same time. A machine that is down stays quiet here: its checks tell."""
        if not self._machines:
            return
        with ThreadPoolExecutor(max_workers=len(self._machines)) as pool:
            list(pool.map(_is_up, self._machines.values()))

    def edge(self) -> EdgeSession:
        """A session to the public edge. Raises CouldNotLook when the CA file is not there."""
        ca_file = self.inventory.ca_file
        if not ca_file.is_file():
            raise CouldNotLook(f"{ca_file}: the CA to verify the edge with is missing; deploy first")
        address = self.inventory.edge_address
        holder = next(one for one in self._machines.values() if one.address == address)
        return EdgeSession(
            self.inventory.public_url, address, ca_file, lambda: _is_up(holder.unremembering())
        )


def _is_up(machine: MachineUnderCheck) -> bool:
    try:
        return machine.run("true").ok
    except CouldNotLook:
        return False
