"""Firewalls whose rules are all there."""

from __future__ import annotations

from collections.abc import Iterator

from checks.breaks.firewall import inserted, restored
from checks.gate import DidNotApply, MachineUnderCheck, compliant_variant, sabotage

TABLE = "inet launchgate"


@sabotage("HARD-SRV-1", on="ops1", near_miss=True, reason="policy of the input")
def the_policy_is_accept(machine: MachineUnderCheck) -> Iterator[None]:
    """Every rule is as it was; what no rule speaks of comes in."""
    try:
        machine.must(f"nft 'chain {TABLE} input {{ policy accept ; }}'", sudo=True)
        if "policy accept" not in machine.must(f"nft list chain {TABLE} input", sudo=True).stdout:
            raise DidNotApply("the policy is still drop")
        yield
    finally:
        restored(machine)


@sabotage("HARD-SRV-1", on="customer1", near_miss=True, reason="9101: let in")
def a_rule_names_the_wrong_port(machine: MachineUnderCheck) -> Iterator[None]:
    """Somebody meant 9100. Nothing listens on 9101 yet, so that no scan finds it."""
    with inserted(machine, "tcp dport 9101 accept"):
        yield


@sabotage("HARD-SRV-1", on="cache", near_miss=True, reason="at boot")
def rules_are_gone_after_a_boot(machine: MachineUnderCheck) -> Iterator[None]:
    """In force now; nothing loads them next time."""
    machine.must("systemctl disable --quiet nftables", sudo=True)
    if machine.run("systemctl is-enabled nftables").stdout.strip() != "disabled":
        raise DidNotApply("nftables is still enabled")
    yield
    machine.must("systemctl enable --quiet nftables", sudo=True)


@sabotage("HARD-SRV-1", on="app2", reason="without a declared flow")
def a_stranger_listens(machine: MachineUnderCheck) -> Iterator[None]:
    """A debugging server was left running; the firewall hides it for as long as it holds."""
    machine.must(
        "systemd-run --quiet --collect --unit=launchgate-sabotage python3 -m http.server 8081 && "
        "for i in $(seq 50); do ss -Hltn | grep -q ':8081 ' && exit 0; sleep 0.1; done; exit 1",
        sudo=True,
    )
    yield
    machine.must("systemctl stop launchgate-sabotage", sudo=True)


@compliant_variant("HARD-SRV-1", on="ops1")
def rules_are_built_from_sets_and_maps(machine: MachineUnderCheck) -> Iterator[None]:
    """The same flows through a named set, a chain of their own and a verdict map."""
    try:
        machine.must(f"nft list chain {TABLE} input | grep 'dport 22 ' >/run/launchgate-rule", sudo=True)
        machine.must(
            "a=$(sed 's/.*saddr \\(.*\\) tcp.*/\\1/; s/[{}]//g' /run/launchgate-rule); rm /run/launchgate-rule; "
            f"nft add set {TABLE} operators '{{ type ipv4_addr; flags interval; }}' && "
            f'nft add element {TABLE} operators "{{ $a }}" && nft add chain {TABLE} operators_in && '
            f"nft add rule {TABLE} operators_in ip saddr @operators accept && "
            f"nft insert rule {TABLE} input tcp dport vmap '{{ 22 : jump operators_in }}'",
            sudo=True,
        )
        yield
    finally:
        restored(machine)
