"""A fleet's subnet is free, private and usually the same again."""

import ipaddress

import pytest

from infra.sandbox import network
from infra.sandbox.errors import SandboxError


def test_the_choice_avoids_every_network_this_computer_uses() -> None:
    chosen = network.pick_subnet("one", [])
    assert chosen.is_private
    assert chosen.prefixlen == 24
    assert not any(chosen.overlaps(used) for used in network.in_use())


def test_the_same_name_comes_back_to_the_same_subnet_unless_another_fleet_has_it() -> None:
    first = network.pick_subnet("one", [])
    assert network.pick_subnet("one", []) == first
    assert network.pick_subnet("one", [str(first)]) != first


def test_loopback_counts_as_used() -> None:
    assert any(ipaddress.ip_address("127.0.0.1") in used for used in network.in_use())


@pytest.mark.parametrize(
    ("forced", "complaint"),
    [
        ("10.1.2.0/16", "has host bits set|private /24"),
        ("8.8.8.0/24", "private /24"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_forced_subnet_must_be_a_private_24(
    monkeypatch: pytest.MonkeyPatch, forced: str, complaint: str
) -> None:
    monkeypatch.setenv("LAUNCHGATE_SUBNET", forced)
    with pytest.raises(SandboxError, match=complaint) as error:
        network.pick_subnet("one", [])
    assert error.value.exit_code == 2


def test_a_forced_subnet_in_use_is_refused_politely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUNCHGATE_SUBNET", "10.77.3.0/24")
    with pytest.raises(SandboxError, match=r"overlaps 10\.77\.0\.0/16, which this computer uses"):
        network.pick_subnet("one", ["10.77.0.0/16"])


def test_when_all_is_taken_the_cure_is_named() -> None:
    with pytest.raises(SandboxError, match=r"LAUNCHGATE_SUBNET=A\.B\.C\.0/24"):
        network.pick_subnet("one", ["10.208.0.0/12"])
