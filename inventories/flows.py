"""Who talks to whom: the one map behind every machine's firewall, and behind the checks that probe it."""

from __future__ import annotations

from dataclasses import dataclass

from inventories.schema import Inventory, Machine

ANYONE = "anyone"
CONTROL = "control"
EVERY_MACHINE = "all"


@dataclass(frozen=True)
class Flow:
    """`source` (a role, "control" or "anyone") may connect to TCP `port` of `target` (a role or "all")."""

    source: str
    target: str
    port: int
    why: str


FLOWS: tuple[Flow, ...] = (
    Flow(CONTROL, EVERY_MACHINE, 22, "deploys and checks come over SSH"),
    Flow(ANYONE, "lb", 443, "the public service"),
    Flow(ANYONE, "lb", 80, "redirect to HTTPS"),
    Flow("lb", "app", 8443, "the balancer's upstreams"),
    Flow(CONTROL, "app", 8443, "paired load on one app machine at a time"),
    Flow("ops", "app", 8443, "service metrics"),
    Flow("app", "db", 3306, "the service's own database"),
    Flow("db", "db", 3306, "replication"),
    Flow("app", "cache", 6379, "cache and limits, over TLS"),
    Flow("app", "customer", 3306, "the user's database"),
    Flow("ops", EVERY_MACHINE, 9100, "machine metrics"),
)


@dataclass(frozen=True)
class Opening:
    """One inbound permission on one machine: TCP `port` from `sources` (CIDR; empty: anyone)."""

    port: int
    sources: tuple[str, ...]
    why: str


def openings(inventory: Inventory, machine: Machine) -> tuple[Opening, ...]:
    """What may come in on a machine, in the map's order; flows without a source machine are left out."""
    result = []
    for flow in FLOWS:
        if flow.target != EVERY_MACHINE and flow.target not in machine.roles:
            continue
        port = machine.ssh_port if flow.port == 22 else flow.port
        sources = _sources(inventory, machine, flow.source)
        if sources or flow.source == ANYONE:
            result.append(Opening(port, sources, flow.why))
    return tuple(result)


def _sources(inventory: Inventory, machine: Machine, source: str) -> tuple[str, ...]:
    if source == ANYONE:
        return ()
    if source == CONTROL:
        return inventory.control_addresses
    return tuple(other.address for other in inventory.role(source) if other.name != machine.name)
