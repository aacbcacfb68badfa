"""SSH servers whose main file says no. Keys keep working throughout: nobody is locked out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from checks.breaks.files import added
from checks.gate import MachineUnderCheck, compliant_variant, sabotage

FOLDER = "/etc/ssh/sshd_config.d"
RELOAD = "mkdir -p /run/sshd && sshd -t && systemctl reload ssh && sleep 0.2"
PASSWORDS = "PasswordAuthentication yes\nAuthenticationMethods any\n"


@sabotage("HARD-SRV-2", on="ops1", reason="passwordauthentication")
def an_earlier_file_allows_passwords(machine: MachineUnderCheck) -> Iterator[None]:
    """sshd takes the first value it meets, and this file sorts before ours."""
    with _drop_in(machine, "00-a-cloud-image.conf", PASSWORDS):
        yield


@sabotage("HARD-SRV-2", on="cache", near_miss=True, reason="passwordauthentication")
def a_match_block_makes_an_exception(machine: MachineUnderCheck) -> Iterator[None]:
    """For everyone the answer is no; for the one user whom attackers know it is yes."""
    name = machine.must("id -un").stdout.strip()
    with _drop_in(machine, "99-exception.conf", f"Match User {name}\n  PasswordAuthentication yes\n"):
        yield


@sabotage("HARD-SRV-2", on="customer1", near_miss=True, reason="offers")
def the_running_daemon_was_never_told(machine: MachineUnderCheck) -> Iterator[None]:
    """Files and `sshd -T` are right again; the daemon still runs with what they said before."""
    try:
        with _drop_in(machine, "00-a-forgotten.conf", PASSWORDS, told_again=False):
            pass
        yield
    finally:
        machine.must(RELOAD, sudo=True)


@compliant_variant("HARD-SRV-2", on="db2")
def the_same_is_said_twice(machine: MachineUnderCheck) -> Iterator[None]:
    """A file before ours that says no as well, and fewer tries, changes nothing for the worse."""
    with _drop_in(machine, "00-a-strict.conf", "PasswordAuthentication no\nMaxAuthTries 2\n"):
        yield


@contextmanager
def _drop_in(
    machine: MachineUnderCheck, name: str, content: str, *, told_again: bool = True
) -> Iterator[None]:
    try:
        with added(machine, f"{FOLDER}/{name}", content):
            machine.must(RELOAD, sudo=True)
            yield
    finally:
        if told_again:
            machine.must(RELOAD, sudo=True)
