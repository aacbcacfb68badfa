"""Machines talk on a private network; database and Redis answer the app machines and nobody else."""

from __future__ import annotations

import ipaddress
import json

from checks.gate import CouldNotLook, Evidence, MachineUnderCheck, item
from checks.gate.fleet import Fleet
from checks.probes import mysql
from checks.probes.at_once import look_at_all
from checks.probes.flow_matrix import allowed, look_from_everywhere
from checks.probes.sockets import listeners
from inventories.schema import Inventory

DATABASE_PORT = 3306
CACHE_PORT = 6379
PRIVATE = tuple(
    ipaddress.ip_network(one)
    for one in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",
        "fe80::/10",
        "127.0.0.0/8",
        "::1/128",
    )
)
SWITCHED_OFF = (
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding",
    "net.ipv4.conf.all.accept_source_route",
    "net.ipv4.conf.all.accept_redirects",
)
# Sockets by which a package lets systemd open a port that the server's own settings close.
BACK_DOORS = {"db": ("mariadb.socket", "mariadb-extra.socket", "mysql.socket"), "cache": ("redis.socket",)}
# Accounts that servers make for themselves and that cannot log in over the network.
OWN_ACCOUNTS = ("root", "mysql", "mariadb.sys", "mysql.sys", "mysql.session", "mysql.infoschema")


@item("HARD-NET-1", on="all")
def check_every_address_is_private(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory, fleet: Fleet
) -> None:
    target = inventory.machine(machine.name)
    look_at_all(fleet, machine, _network)
    found = addresses(_network(machine)[0])
    evidence.that(
        target.address in found,
        looked_at="addresses of the machine",
        observed=found,
        expected=f"{target.address}, as the inventory says",
    )
    if "lb" not in target.roles:  # the balancer alone may face the world
        public = [one for one in found if not is_private(one)]
        evidence.expect(looked_at="addresses outside the private ranges", observed=public, expected=[])
    networks = {one for one in found if ipaddress.ip_address(one).version == 4} - {"127.0.0.1"}
    evidence.that(
        bool(networks),
        looked_at="addresses beside loopback",
        observed=sorted(networks),
        expected="at least one",
    )


@item("HARD-NET-1", on="all")
def check_the_machine_is_no_router(machine: MachineUnderCheck, evidence: Evidence) -> None:
    shown = dict(zip(SWITCHED_OFF, _network(machine)[1].split(), strict=True))
    evidence.expect(
        looked_at="forwarding, source routes and redirects",
        observed=shown,
        expected=dict.fromkeys(SWITCHED_OFF, "0"),
    )


@item("HARD-NET-2", on="db")
def check_only_declared_machines_reach_the_database(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory, fleet: Fleet
) -> None:
    _expect_reach(machine, evidence, inventory, fleet, DATABASE_PORT, "db")


@item("HARD-NET-2", on="db")
def check_accounts_are_bound_to_the_machines_that_use_them(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    accounts = mysql.accounts(machine)
    target = inventory.machine(machine.name)
    wrong = []
    for user, host, _ in accounts:
        if user in OWN_ACCOUNTS:
            fits = host == "localhost"
        elif host in ("localhost", "127.0.0.1", "::1"):
            fits = user != ""
        else:
            # Replicas hold the primary's accounts, their own among them.
            fits = _is_address(host) and (
                host == target.address or allowed(inventory, target, host, DATABASE_PORT)
            )
        if not fits:
            wrong.append(f"{user or '(anonymous)'}@{host}")
    evidence.expect(
        looked_at=f"{len(accounts)} accounts, those open to others than declared machines",
        observed=wrong,
        expected=[],
    )


@item("HARD-NET-3", on="cache")
def check_only_declared_machines_reach_redis(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory, fleet: Fleet
) -> None:
    _expect_reach(machine, evidence, inventory, fleet, CACHE_PORT, "cache")


def _network(machine: MachineUnderCheck) -> tuple[str, str]:
    """What `ip` and `sysctl` say, in one look."""
    shown = machine.must(f"ip -json address && echo === && sysctl -n {' '.join(SWITCHED_OFF)}").stdout
    found, _, switches = shown.partition("===")
    return found, switches


def addresses(text: str) -> list[str]:
    """Addresses in the output of `ip -json address`. Raises CouldNotLook when it is none."""
    try:
        return [one["local"] for link in json.loads(text) for one in link.get("addr_info", [])]
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise CouldNotLook(f"ip -json address: {fault!r}") from fault


def is_private(address: str) -> bool:
    """Whether an address cannot be reached from the internet (RFC 1918, RFC 4193, link-local, loopback)."""
    return any(ipaddress.ip_address(address) in network for network in PRIVATE)


def _expect_reach(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory, fleet: Fleet, port: int, role: str
) -> None:
    target = inventory.machine(machine.name)
    matrix = look_from_everywhere(fleet, inventory)
    evidence.expect(
        looked_at=f"connections tried to {machine.name}:{port} (open to {', '.join(matrix.sources(target, port))})",
        observed=matrix.faults(target, port),
        expected=[],
    )
    bound = [one for one in listeners(machine) if one.port == port]
    everywhere = [str(one) for one in bound if one.everywhere]
    evidence.that(
        bool(bound) and not everywhere,
        looked_at=f"sockets on port {port}",
        observed=[str(one) for one in bound] or "none",
        expected=f"bound to {target.address}, not to every address",
    )
    units = " ".join(BACK_DOORS[role])
    shown = machine.run(
        f"for u in {units}; do echo $u $(systemctl is-enabled $u 2>/dev/null) $(systemctl is-active $u); done"
    )
    opened = [line for line in shown.lines() if {"enabled", "active"} & set(line.split()[1:])]
    evidence.expect(
        looked_at=f"socket units that would open {port} past the server's settings",
        observed=opened,
        expected=[],
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
