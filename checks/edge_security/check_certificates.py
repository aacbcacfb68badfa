"""Certificates: each port presents one that is ours, for its name, long enough, with a key nobody else can read."""

from __future__ import annotations

from checks.gate import Evidence, MachineUnderCheck, item
from checks.gate.fleet import Fleet
from checks.probes import tls
from inventories.schema import Inventory

# Private keys, wherever the deploy puts them.
KEYS = "/etc/ssl/launchgate"
# Role to port and protocol to speak before TLS.
PORTS = {"app": (8443, ""), "db": (3306, "mysql"), "customer": (3306, "mysql"), "cache": (6379, "")}


@item("PRE-ENV-6", on="lb")
def check_the_edge_presents_its_certificate(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory, fleet: Fleet
) -> None:
    domain = inventory.settings.domain
    here = tls.Look(machine.address, 443, domain, ca_file=str(inventory.ca_file))
    (seen,) = tls.from_here([here])
    _judge(evidence, here, "this computer", seen, inventory)
    there = tls.Look(machine.address, 443, domain, tls.ca_on_machines(inventory.settings.edge_certificate))
    neighbour = fleet.named(inventory.role("app")[0].name)
    (seen,) = tls.from_machine(neighbour, [there])
    _judge(evidence, there, neighbour.name, seen, inventory)


@item("PRE-ENV-6", on=("app", "db", "cache", "customer"))
def check_servers_inside_present_their_certificates(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory, fleet: Fleet
) -> None:
    # App machines are asked by the balancer, all others by an app machine: those who really connect.
    asker = fleet.named(inventory.role("lb" if "app" in machine.roles else "app")[0].name)
    for role, (port, starttls) in PORTS.items():
        if role not in machine.roles:
            continue
        names = [machine.name]
        if role == "app":
            names.append(f"app.{inventory.settings.domain}")
        looks = [tls.Look(machine.address, port, name, starttls=starttls) for name in names]
        for look, seen in zip(looks, tls.from_machine(asker, looks), strict=True):
            _judge(evidence, look, asker.name, seen, inventory)


@item("PRE-ENV-6", on=("lb", "app", "db", "cache", "customer"))
def check_private_keys_are_private(machine: MachineUnderCheck, evidence: Evidence) -> None:
    shown = machine.must(f"find {KEYS} -name '*.key' -exec stat -L -c '%n %a %U' {{}} +", sudo=True)
    keys = [line.split() for line in shown.lines()]
    evidence.that(
        bool(keys), looked_at=f"private keys below {KEYS}", observed=len(keys), expected="at least one"
    )
    readable = [f"{path} {mode} {owner}" for path, mode, owner in keys if int(mode, 8) & 0o077]
    evidence.expect(
        looked_at="private keys that others than their owner can read", observed=readable, expected=[]
    )


def _judge(evidence: Evidence, look: tls.Look, where: str, seen: tls.Handshake, inventory: Inventory) -> None:
    evidence.that(
        seen.verified,
        looked_at=f"{look}, from {where}",
        observed=seen.told(),
        expected="chain and name verified",
    )
    least = inventory.settings.thresholds.certificate_days_left_minimum
    days = seen.days_left()
    evidence.that(
        days >= least,
        looked_at=f"days left of what {look} presents",
        observed=f"{days:.1f}",
        expected=f"at least {least}",
    )
