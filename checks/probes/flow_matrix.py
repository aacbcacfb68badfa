"""Connections tried from every machine to every other, all at once, against the declared map of flows."""

from __future__ import annotations

import ipaddress
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from checks.gate import CommandResult, MachineUnderCheck
from checks.gate.fleet import Fleet
from checks.probes import reach
from checks.probes.sockets import listing, open_to_others
from inventories.flows import openings
from inventories.schema import Inventory, Machine

HERE = "this computer"
# A port on which nothing listens: refused instead of silent means that the filter lets strangers through.
UNUSED_PORT = 9
# Addresses of nobody: a public one, one of each private range, and one of IPv6 (documentation and test ranges).
OUTSIDERS = ("203.0.113.77", "10.255.254.253", "192.168.254.253", "2001:db8::77", "fd00:db8::77")


@dataclass(frozen=True)
class Attempt:
    """One connection tried, what came of it, and whether the map allows it."""

    source: str
    target: str
    port: int
    answer: reach.Answer
    allowed: bool

    @property
    def fault(self) -> str:
        """What is wrong with it, empty when it is as declared."""
        if self.allowed and self.answer is not reach.Answer.OPEN:
            return f"{self.source} to {self.port}: {self.answer}, although declared"
        if not self.allowed and self.answer is not reach.Answer.SILENT:
            return f"{self.source} to {self.port}: {self.answer}, although not declared"
        return ""


@dataclass(frozen=True)
class Matrix:
    """Every attempt of one look at the fleet."""

    attempts: tuple[Attempt, ...]

    def count(self, address: str) -> int:
        """How many attempts were made to a machine."""
        return sum(one.target == address for one in self.attempts)

    def faults(self, machine: Machine, port: int | None = None) -> list[str]:
        """What is not as declared with connections to a machine, or to one port of it."""
        return [
            one.fault
            for one in self.attempts
            if one.target == machine.address and one.fault and port in (None, one.port)
        ]

    def sources(self, machine: Machine, port: int) -> list[str]:
        """Who got an answer from that port."""
        return [
            one.source
            for one in self.attempts
            if (one.target, one.port) == (machine.address, port) and one.answer is reach.Answer.OPEN
        ]


# One look a run is enough: machines remember their sockets, so the same remembered answers mean the same run.
_last: WeakKeyDictionary[Fleet, tuple[list[CommandResult], Matrix]] = WeakKeyDictionary()


def look_from_everywhere(fleet: Fleet, inventory: Inventory) -> Matrix:
    """Tries every declared and every listening port of each machine from all others and from here, at once.

    Machines remember their answers for the rest of the run, so that asking again costs nothing.
    """
    machines = [fleet.named(one.name) for one in inventory.machines]
    with ThreadPoolExecutor(max_workers=len(machines) + 1) as pool:
        sockets = list(pool.map(listing, machines))
        stamp, matrix = _last.get(fleet, ([], Matrix(())))
        if len(stamp) == len(sockets) and all(old is new for old, new in zip(stamp, sockets, strict=True)):
            return matrix
        targets = [
            (one, port)
            for one, machine in zip(inventory.machines, machines, strict=True)
            for port in sorted(
                {UNUSED_PORT} | {other.port for other in openings(inventory, one)} | _open_ports(machine)
            )
        ]
        from_here = pool.submit(_from_here, inventory, targets)
        looks = list(
            pool.map(
                lambda machine, one: _from(machine, one, inventory, targets), machines, inventory.machines
            )
        )
    matrix = Matrix(tuple(attempt for found in [*looks, from_here.result()] for attempt in found))
    _last[fleet] = (sockets, matrix)
    return matrix


def allowed(inventory: Inventory, target: Machine, source: str, port: int) -> bool:
    """Whether the map of flows lets an address connect to a port of a machine."""
    address = ipaddress.ip_address(source)
    return any(
        not opening.sources or any(address in ipaddress.ip_network(one) for one in opening.sources)
        for opening in openings(inventory, target)
        if opening.port == port
    )


def _open_ports(machine: MachineUnderCheck) -> set[int]:
    return {one.port for one in open_to_others(machine) if one.protocol == "tcp"}


def _from(
    machine: MachineUnderCheck, source: Machine, inventory: Inventory, targets: list[tuple[Machine, int]]
) -> list[Attempt]:
    others = [(one, port) for one, port in targets if one.name != source.name]
    wanted = [(one.address, port) for one, port in others if allowed(inventory, one, source.address, port)]
    answers = reach.from_machine(machine, [(one.address, port) for one, port in others], wanted_open=wanted)
    return [Attempt(source.name, *where, answer, where in wanted) for where, answer in answers.items()]


def _from_here(inventory: Inventory, targets: list[tuple[Machine, int]]) -> list[Attempt]:
    """This computer is one of the operators' addresses: the flows of `control` and of anyone are its own."""
    networks = [ipaddress.ip_network(one) for one in inventory.control_addresses]
    wanted = set()
    for one, port in targets:
        for opening in openings(inventory, one):
            ours = not opening.sources or any(
                ipaddress.ip_network(net) in networks for net in opening.sources
            )
            if opening.port == port and ours:
                wanted.add((one.address, port))
    answers = reach.from_here([(one.address, port) for one, port in targets])
    late = [where for where in wanted if answers[where] is not reach.Answer.OPEN]
    answers |= reach.from_here(late, timeout_s=reach.PATIENCE_S)
    return [Attempt(HERE, *where, answer, where in wanted) for where, answer in answers.items()]
