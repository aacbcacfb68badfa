"""nftables: nothing comes in but what the map of flows allows; judged before it is loaded, loaded at once."""

from __future__ import annotations

from infra.components.naming import component
from infra.components.rendering import render
from infra.components.target import Target
from infra.operations import files, states, units
from inventories.flows import openings
from inventories.schema import Inventory, Machine

RULES = "/etc/nftables.conf"
TABLE = "inet launchgate"


def rules(inventory: Inventory, machine: Machine) -> str:
    """The machine's rules as nft reads them."""
    return render(
        "firewall", "nftables.conf.j2", table=TABLE, openings=openings(inventory, machine), family=_family
    )


@component("Firewall")
def firewall(here: Target) -> None:
    """Puts the rules in force, now and at boot."""
    text = rules(here.inventory, here.machine)
    files.present(
        name="Write the rules",
        wanted=[files.File(RULES, text, mode="600")],
        validate=f"nft --check --file {RULES}",
    )
    units.running(name="Load the rules at boot", unit="nftables.service")
    states.reached(
        name="Rules in force",
        key="firewall",
        wanted=text,
        # Stateless: counters change by themselves.
        observe=f"nft --stateless list table {TABLE}",
        # One transaction: there is no moment without rules, and none in which only half of them hold.
        apply=f"nft --file {RULES}",
    )


def _family(source: str) -> str:
    return "ip6" if ":" in source else "ip"
