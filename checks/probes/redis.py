"""Redis, asked by the operator's own client on its machine: what is in force, not what its file says."""

from __future__ import annotations

from checks.gate import CouldNotLook, MachineUnderCheck

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


def _part(machine: MachineUnderCheck, number: int) -> str:
    answer = machine.must(COMMAND, sudo=True)
    parts = answer.stdout.split(f"{_SEPARATOR}\n")
    if len(parts) != 4 or parts[0].strip() != "PONG":
        raise CouldNotLook(f"{machine.name}: Redis did not answer its operator: {answer.stdout[:200]!r}")
    return parts[number]
