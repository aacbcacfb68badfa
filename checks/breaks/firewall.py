"""The packet filter in force, changed for a while; its file stays as it is and brings everything back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from checks.gate import DidNotApply, MachineUnderCheck

RULES = "/etc/nftables.conf"
CHAIN = "inet launchgate input"


def restored(machine: MachineUnderCheck) -> None:
    """Put the rules of the file in force again, in one transaction."""
    machine.must(f"nft --file {RULES}", sudo=True)


@contextmanager
def inserted(machine: MachineUnderCheck, rule: str) -> Iterator[None]:
    """A rule before all others of the input chain. Raises DidNotApply when it is not listed."""
    try:
        machine.must(f"nft insert rule {CHAIN} {rule}", sudo=True)
        if rule not in machine.must(f"nft list chain {CHAIN}", sudo=True).stdout:
            raise DidNotApply(f"nft does not list {rule!r}")
        yield
    finally:
        restored(machine)
