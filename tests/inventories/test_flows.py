"""The map of flows gives each machine what its roles need, from those who need it, and nothing else."""

import dataclasses

from inventories.flows import ANYONE, CONTROL, EVERY_MACHINE, FLOWS, Opening, openings
from inventories.schema import ROLES, Inventory


def test_flows_name_roles_that_exist() -> None:
    for flow in FLOWS:
        assert flow.source in (*ROLES, ANYONE, CONTROL)
        assert flow.target in (*ROLES, EVERY_MACHINE)
        assert flow.why


def test_only_the_balancer_is_open_to_anyone(fleet: Inventory) -> None:
    open_to_all = {
        (machine.roles, opening.port)
        for machine in fleet.machines
        for opening in openings(fleet, machine)
        if not opening.sources
    }
    assert open_to_all == {(("lb",), 443), (("lb",), 80)}


def test_every_machine_can_be_reached_by_its_operators(fleet: Inventory) -> None:
    for machine in fleet.machines:
        assert Opening(22, fleet.control_addresses, FLOWS[0].why) in openings(fleet, machine)


def test_a_machine_with_its_own_ssh_port_opens_that_one(fleet: Inventory) -> None:
    machine = dataclasses.replace(fleet.machines[0], ssh_port=2222)
    ports = [opening.port for opening in openings(fleet, machine)]
    assert 2222 in ports
    assert 22 not in ports


def test_the_database_answers_app_machines_and_replicas_only(fleet: Inventory) -> None:
    primary, replica = fleet.role("db")
    sources = {
        address for opening in openings(fleet, primary) if opening.port == 3306 for address in opening.sources
    }
    assert sources == {machine.address for machine in fleet.role("app")} | {replica.address}


def test_an_app_machine_answers_balancer_control_and_metrics(fleet: Inventory) -> None:
    sources = [opening.sources for opening in openings(fleet, fleet.role("app")[0]) if opening.port == 8443]
    assert sources == [
        (fleet.role("lb")[0].address,),
        fleet.control_addresses,
        (fleet.role("ops")[0].address,),
    ]


def test_a_flow_without_a_source_machine_opens_nothing(fleet: Inventory) -> None:
    alone = dataclasses.replace(fleet, machines=tuple(m for m in fleet.machines if "ops" not in m.roles))
    assert all(opening.port != 9100 for machine in alone.machines for opening in openings(alone, machine))
