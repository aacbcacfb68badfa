"""Listening sockets of a machine, as the kernel lists them (`ss -H -ltnup`)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from checks.gate import CommandResult, CouldNotLook, MachineUnderCheck

COMMAND = "ss -H -ltnup"
_OWNER = re.compile(r'\(\("(?P<name>[^"]+)",pid=(?P<pid>\d+)')


@dataclass(frozen=True)
class Listener:
    """One listening socket: `protocol` tcp or udp, `address` without brackets and zone ("*": any)."""

    protocol: str
    address: str
    port: int
    process: str

    @property
    def local_only(self) -> bool:
        """Whether only this machine itself can reach it."""
        if self.address == "*":
            return False
        return ipaddress.ip_address(self.address).is_loopback

    @property
    def everywhere(self) -> bool:
        """Whether it is bound to every address of the machine."""
        return self.address == "*" or ipaddress.ip_address(self.address).is_unspecified

    def __str__(self) -> str:
        return f"{self.protocol} {self.address}:{self.port} ({self.process})"


def listing(machine: MachineUnderCheck) -> CommandResult:
    """What `ss` says. Raises CouldNotLook when it fails."""
    return machine.must(COMMAND, sudo=True)


def listeners(machine: MachineUnderCheck) -> tuple[Listener, ...]:
    """Every listening TCP and UDP socket. Raises CouldNotLook when `ss` fails or owners stay hidden."""
    found = parse(listing(machine).stdout)
    if not found:
        raise CouldNotLook(f"{machine.name}: {COMMAND} lists no socket at all, not even sshd's")
    return found


def open_to_others(machine: MachineUnderCheck) -> tuple[Listener, ...]:
    """The listening sockets that are not bound to loopback alone."""
    return tuple(one for one in listeners(machine) if not one.local_only)


def parse(text: str) -> tuple[Listener, ...]:
    """Sockets in the output of `ss -H -ltnup`. Raises CouldNotLook for a line that it does not know."""
    found = []
    for line in text.splitlines():
        if not line.strip():
            continue
        words = line.split(maxsplit=6)
        if len(words) < 6 or words[0] not in ("tcp", "udp"):
            raise CouldNotLook(f"ss: a line of unknown shape: {line!r}")
        address, _, port = words[4].rpartition(":")
        owner = _OWNER.search(words[6]) if len(words) > 6 else None
        found.append(Listener(words[0], _bare(address), int(port), owner["name"] if owner else "?"))
    return tuple(found)


def _bare(address: str) -> str:
    """Without the zone and brackets that ss prints: `[fe80::1]%eth0` is fe80::1, `127.0.0.53%lo` too."""
    return address.partition("%")[0].strip("[]") or "*"
