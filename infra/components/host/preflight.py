"""Looks at every machine before the first change: room on the disks, ports free, and that we keep our way in."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from pyinfra.api.exceptions import PyinfraError
from pyinfra.context import host, inventory, state

from infra.components.host.facts import Condition, MachineCondition, SshClient
from infra.components.target import Target
from inventories.schema import Machine, Settings

SUITES = ("bookworm", "trixie")
TEMPORARY_MINIMUM_MB = 64
# Which process may already hold which port on a machine of which role.
OWNERS: dict[str, dict[int, tuple[str, ...]]] = {
    "lb": {80: ("nginx",), 443: ("nginx",)},
    "app": {8443: ("nginx",)},
    "db": {3306: ("mariadbd", "mysqld")},
    "customer": {3306: ("mariadbd", "mysqld")},
    "cache": {6379: ("redis-server",)},
    "ops": {9090: ("prometheus",)},
}
EVERYWHERE: dict[int, tuple[str, ...]] = {9100: ("prometheus-node",)}


def preflight(here: Target) -> str:
    """Raises PyinfraError with one line when this machine cannot be deployed to; its distribution's name else."""
    _refuse_unless_every_host_answers()
    condition = host.get_fact(MachineCondition)
    faults = faults_of(here.machine, here.settings, condition, host.get_fact(SshClient, _sudo=False))
    if faults:
        raise PyinfraError(f"{here.machine.name}: {'; '.join(faults)}. Nothing was changed on any machine")
    return condition.codename


def _refuse_unless_every_host_answers() -> None:
    missing = [other.name for other in inventory if state.is_host_in_limit(other) and not other.connected]
    if missing:
        raise PyinfraError(
            f"{', '.join(sorted(missing))}: cannot be reached (reason above); bring it up, correct its address or key, "
            "or leave it out with --limit. Nothing was changed on any machine"
        )


def faults_of(machine: Machine, settings: Settings, condition: Condition, client: str) -> list[str]:
    """What speaks against deploying to the machine, each with its cure."""
    faults = []
    if not condition.root:
        faults.append(f"user {machine.ssh_user} may not use sudo without a password; allow it in sudoers")
    if condition.codename not in SUITES:
        faults.append(
            f"distribution {condition.codename!r} is not supported; use Debian {' or '.join(SUITES)}"
        )
    faults += _full_disks(condition, settings.thresholds.disk_free_minimum_mb)
    faults += _occupied_ports(machine, condition)
    networks = [ip_network(network) for network in settings.control_addresses]
    if client and not any(ip_address(client) in network for network in networks):
        faults.append(
            f"we come from {client}, which control_addresses does not hold; add it, or the firewall locks us out"
        )
    return faults


def _full_disks(condition: Condition, minimum: int) -> list[str]:
    faults = []
    for path, free in condition.free_mb.items():
        needed = TEMPORARY_MINIMUM_MB if path == "/tmp" else minimum  # noqa: S108
        if free < needed:
            faults.append(f"disk full: {free} MiB free on {path}, {needed} needed; make room")
    return faults


def _occupied_ports(machine: Machine, condition: Condition) -> list[str]:
    allowed = dict(EVERYWHERE)
    for role in machine.roles:
        allowed.update(OWNERS.get(role, {}))
    return [
        f"port {port} is held by {condition.listeners[port]}; stop it"
        for port, owners in sorted(allowed.items())
        if port in condition.listeners and not condition.listeners[port].startswith(owners)
    ]
