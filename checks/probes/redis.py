"""Redis, asked by the operator's own client on its machine: what is in force, not what its file says."""

from __future__ import annotations

import re
from collections.abc import Sequence

from checks.gate import CouldNotLook, MachineUnderCheck
from checks.probes.tls import INTERNAL_CA

OPERATOR = "redis-operator"
_SEPARATOR = "=== launchgate ==="
# One look for all: a login costs a TLS handshake.
COMMAND = (
    f"{OPERATOR} PING && echo '{_SEPARATOR}' && {OPERATOR} CONFIG GET '*' && echo '{_SEPARATOR}' && "
    f"{OPERATOR} INFO && echo '{_SEPARATOR}' && {OPERATOR} ACL LIST"
)


def settings(machine: MachineUnderCheck) -> dict[str, str]:
    """CONFIG GET * in force. Raises CouldNotLook when Redis does not answer its operator."""
    return parse_settings(_part(machine, 1))


def info(machine: MachineUnderCheck) -> dict[str, str]:
    """INFO: figures and states."""
    return parse_info(_part(machine, 2))


def users(machine: MachineUnderCheck) -> dict[str, tuple[str, ...]]:
    """ACL rules in force by user."""
    return parse_users(_part(machine, 3))


def parse_settings(text: str) -> dict[str, str]:
    """Names and values that redis-cli prints on alternating lines; a value may be an empty line."""
    lines = text.splitlines()
    return dict(zip(lines[::2], lines[1::2], strict=False))


def parse_info(text: str) -> dict[str, str]:
    """`name:value` lines; headings start with #."""
    return dict(
        line.rstrip().split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#")
    )


def parse_users(text: str) -> dict[str, tuple[str, ...]]:
    """`user NAME rule...` lines."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "user":
            found[words[1]] = tuple(words[2:])
    return found


def parse_file(text: str) -> dict[str, str]:
    """Directives of a redis.conf; the last of a name counts, as for Redis; comments are none."""
    found = {}
    for line in text.splitlines():
        words = line.split(maxsplit=1)
        if len(words) == 2 and not words[0].startswith("#"):
            found[words[0].lower()] = words[1].strip().strip('"')
    return found


def in_bytes(size: str) -> int:
    """A size as redis.conf writes it: `64mb` is 64 MiB, `64m` is 64,000,000. Raises CouldNotLook."""
    match = re.fullmatch(r"(\d+)(k|kb|m|mb|g|gb)?", size.strip().lower())
    if match is None:
        raise CouldNotLook(f"redis.conf: {size!r} is not a size")
    factors = {None: 1, "k": 10**3, "kb": 2**10, "m": 10**6, "mb": 2**20, "g": 10**9, "gb": 2**30}
    return int(match[1]) * factors[match[2]]


def dry_run(machine: MachineUnderCheck, user: str, commands: Sequence[str]) -> list[str]:
    """Those of the commands that the user's ACL allows; nothing is executed. Raises CouldNotLook."""
    # Arguments only have to be as many as the command wants.
    calls = "; ".join(
        f"echo {one} $({OPERATOR} ACL DRYRUN {user} {_CALLS.get(one, one)} 2>&1)" for one in commands
    )
    allowed = []
    for line in machine.must(calls, sudo=True).lines():
        command, _, said = line.partition(" ")
        if said == "OK":
            allowed.append(command)
        elif "no permissions" not in said:
            raise CouldNotLook(f"{machine.name}: ACL DRYRUN {user} {command}: {said[:200]}")
    return allowed


_CALLS = {
    "config": "config get maxmemory",
    "debug": "debug jmap",
    "acl": "acl list",
    "keys": "keys x",
    "replicaof": "replicaof no one",
    "module": "module list",
}


def stranger_says(machine: MachineUnderCheck, address: str, name: str, command: str, port: int = 6379) -> str:
    """What Redis answers, over TLS, to a command of a client on another machine who has not logged in."""
    answer = machine.run(
        f"(echo {command}; sleep 0.3) | timeout 5 openssl s_client -quiet -no_ign_eof -verify_return_error "
        f"-CAfile {INTERNAL_CA} -verify_hostname {name} -connect {address}:{port} 2>/dev/null",
        cached=False,
    )
    return answer.stdout.strip()


def _part(machine: MachineUnderCheck, number: int) -> str:
    answer = machine.run(COMMAND, sudo=True)
    # Redis itself then refuses everyone who is not on its own machine, its operator included.
    assert "protected mode" not in answer.stdout + answer.stderr, (
        f"{machine.name}: Redis is open: a user without a password set off its protected mode"
    )
    parts = answer.stdout.split(f"{_SEPARATOR}\n")
    if len(parts) != 4 or parts[0].strip() != "PONG":
        raise CouldNotLook(f"{machine.name}: Redis did not answer its operator: {answer.stdout[:200]!r}")
    return parts[number]
