"""Only declared flows get in: the rules in force, the sockets behind them, and connections really tried."""

from __future__ import annotations

from checks.gate import Evidence, MachineUnderCheck, item
from checks.gate.fleet import Fleet
from checks.probes import nft
from checks.probes.at_once import look_at_all
from checks.probes.flow_matrix import OUTSIDERS, UNUSED_PORT, Matrix, allowed, look_from_everywhere
from checks.probes.sockets import open_to_others
from inventories.flows import EVERY_MACHINE, FLOWS, openings
from inventories.schema import Inventory, Machine


@item("HARD-SRV-1", on="all")
def check_whatever_is_not_declared_is_dropped(
    machine: MachineUnderCheck, evidence: Evidence, fleet: Fleet
) -> None:
    look_at_all(fleet, machine, lambda one: (nft.ruleset(one), _at_boot(one)))
    rules = nft.ruleset(machine)
    for hook in ("input", "forward"):
        for version in (4, 6):
            evidence.that(
                rules.drops_by_default(hook, version),
                looked_at=f"policy of the {hook} chains for IPv{version}",
                observed=[f"{one.table}/{one.name}: {one.policy}" for one in rules.base(hook, version)]
                or "no chain",
                expected="drop",
            )
    evidence.expect(
        looked_at="nftables.service at boot, and its file", observed=_at_boot(machine), expected=["enabled"]
    )


@item("HARD-SRV-1", on="all")
def check_rules_let_in_what_the_map_of_flows_declares(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    rules = nft.ruleset(machine)
    target = inventory.machine(machine.name)
    listening = {one.port for one in open_to_others(machine)}
    declared = {one.port for one in openings(inventory, target)}
    ports = sorted(declared | listening | rules.named_ports() | {UNUSED_PORT})
    neighbours = [one.address for one in inventory.machines if one.name != machine.name]
    wrong = []
    for source in (*neighbours, *OUTSIDERS):
        for port in ports:
            let_in = rules.lets_in(nft.NewConnection(source, target.address, port))
            if let_in != allowed(inventory, target, source, port):
                wrong.append(f"{source} to {port}: {'let in' if let_in else 'dropped'}")
    evidence.expect(
        looked_at=f"rules applied to new connections from {len(neighbours)} machines and {len(OUTSIDERS)} strangers "
        f"to ports {', '.join(map(str, ports))}, against the map of flows",
        observed=wrong,
        expected=[],
    )


@item("HARD-SRV-1", on="all")
def check_listening_sockets_are_declared(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    declared = _declared_ports(inventory.machine(machine.name))
    found = open_to_others(machine)
    strangers = [str(one) for one in found if one.protocol != "tcp" or one.port not in declared]
    evidence.expect(
        looked_at="sockets open to others without a declared flow", observed=strangers, expected=[]
    )
    missing = sorted(declared - {one.port for one in found})
    evidence.expect(looked_at="declared flows to which nothing listens", observed=missing, expected=[])


@item("HARD-SRV-1", on="all")
def check_connections_from_every_other_machine(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory, fleet: Fleet
) -> None:
    matrix: Matrix = look_from_everywhere(fleet, inventory)
    faults = matrix.faults(inventory.machine(machine.name))
    evidence.expect(
        looked_at=f"{matrix.count(machine.address)} connections tried to {machine.name} from every other machine "
        "and from here, against the map of flows",
        observed=faults,
        expected=[],
    )


def _at_boot(machine: MachineUnderCheck) -> list[str]:
    """Whether rules are loaded at boot, and what nft has to say against their file."""
    return machine.run(
        "systemctl show -P UnitFileState nftables; nft --check --file /etc/nftables.conf 2>&1", sudo=True
    ).lines()


def _declared_ports(target: Machine) -> set[int]:
    """Ports that some flow leads to, be it from the machine to itself."""
    return {
        target.ssh_port if flow.port == 22 else flow.port
        for flow in FLOWS
        if flow.target == EVERY_MACHINE or flow.target in target.roles
    }
