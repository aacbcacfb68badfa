"""A machine that cannot be deployed to is refused before anything changes, with the cure."""

from collections.abc import Callable

import pytest

from infra.components.host.facts import Condition, MachineCondition
from infra.components.host.preflight import faults_of
from infra.components.target import Target

OUTPUT = """user=0
codename=bookworm
free=/ 20000
free=/tmp 900
listen=0.0.0.0:22 users:(("sshd",pid=44,fd=3))
listen=[::]:443 users:(("nginx",pid=70,fd=5),("nginx",pid=69,fd=5))
listen=127.0.0.1:9100 users:(("prometheus-node",pid=80,fd=3))
listen=10.0.0.1%eth0:53
"""


def condition(**changes: object) -> Condition:
    """A machine in good order, but for the changes."""
    found = MachineCondition().process(OUTPUT.splitlines())
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def faults(here: Target, seen: Condition, client: str = "198.51.100.5") -> list[str]:
    return faults_of(here.machine, here.settings, seen, client)


def test_the_facts_lines_are_understood() -> None:
    found = condition()
    assert found.root
    assert found.codename == "bookworm"
    assert found.free_mb == {"/": 20000, "/tmp": 900}
    assert found.listeners[443] == "nginx (pid 70)"
    assert found.listeners[53] == "an unknown process"


def test_a_machine_in_good_order_has_no_faults(at: Callable[..., Target]) -> None:
    assert faults(at("lb"), condition()) == []


@pytest.mark.parametrize(
    ("role", "changes", "words"),
    [
        ("lb", {"root": False}, ["sudo"]),
        ("lb", {"codename": "jammy"}, ["'jammy'", "bookworm or trixie"]),
        ("app", {"free_mb": {"/srv": 20}}, ["disk full", "20 MiB free on /srv", "2048 needed"]),
        ("app", {"free_mb": {"/tmp": 3}}, ["disk full", "/tmp", "64 needed"]),
        ("lb", {"listeners": {443: "apache2 (pid 9)"}}, ["port 443", "apache2 (pid 9)", "stop it"]),
        ("app", {"listeners": {8443: "java (pid 9)"}}, ["port 8443", "java"]),
        ("db", {"listeners": {3306: "postgres (pid 9)"}}, ["port 3306"]),
        ("cache", {"listeners": {6379: "an unknown process"}}, ["port 6379", "unknown process"]),
        ("ops", {"listeners": {9100: "perl (pid 9)"}}, ["port 9100"]),
    ],
)
def test_each_fault_is_named_with_its_cure(
    at: Callable[..., Target], role: str, changes: dict[str, object], words: list[str]
) -> None:
    found = faults(at(role), condition(**changes))
    assert len(found) == 1
    for word in words:
        assert word in found[0]


def test_our_own_servers_and_other_roles_ports_are_no_fault(at: Callable[..., Target]) -> None:
    assert faults(at("db"), condition(listeners={3306: "mariadbd (pid 1)", 443: "apache2 (pid 2)"})) == []
    assert faults(at("customer"), condition(listeners={3306: "mysqld (pid 1)"})) == []


def test_a_firewall_that_would_lock_us_out_is_refused(at: Callable[..., Target]) -> None:
    found = faults(at("lb"), condition(), client="203.0.113.9")
    assert len(found) == 1
    assert "203.0.113.9" in found[0]
    assert "control_addresses" in found[0]
