"""The SSH server: settings that hold for one user and origin, and what the running daemon itself offers."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Sequence

from checks.gate import CouldNotLook, MachineUnderCheck

PROBE_TIMEOUT_S = 10
_OFFER = re.compile(r"Permission denied \((?P<methods>[a-z,-]+)\)")


def effective(
    machine: MachineUnderCheck, logins: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], dict[str, str]]:
    """`sshd -T` for each (user, address of origin): drop-ins, first-value-wins and Match blocks applied.

    Keys in lower case; of several lines with one key the last counts. Raises CouldNotLook.
    """
    asked = " ".join(shlex.quote(f"{user}@{origin}") for user, origin in logins)
    answer = machine.must(
        f"for l in {asked}; do echo login-looked-at $l; "
        "sshd -T -C user=${l%@*},host=${l#*@},addr=${l#*@} || exit 1; done",
        sudo=True,
    )
    return parse(answer.stdout)


def parse(text: str) -> dict[tuple[str, str], dict[str, str]]:
    """Settings by login out of the answer. Raises CouldNotLook."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for line in text.splitlines():
        key, _, value = line.strip().partition(" ")
        if key == "login-looked-at":
            user, _, origin = value.partition("@")
            found[user, origin] = {}
        elif key:
            if not found:
                raise CouldNotLook(f"sshd -T: unexpected line {line!r}")
            found[list(found)[-1]][key.lower()] = value
    return found


def methods_offered(address: str, port: int, user: str) -> tuple[str, ...]:
    """Authentication methods that the running daemon offers a user who has proved nothing, asked from here.

    Raises CouldNotLook when the daemon does not say.
    """
    argv = [
        "ssh", "-F", "none", "-p", str(port), "-o", "PreferredAuthentications=none", "-o", "BatchMode=yes",
        "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
        "-o", "ConnectTimeout=5", "-o", "ControlPath=none",
        # The cheapest exchange of keys that it has: nothing secret is said.
        "-o", "KexAlgorithms=^curve25519-sha256", f"{user}@{address}", "true",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            check=False,
            timeout=PROBE_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError as missing:
        raise CouldNotLook("ssh is not installed on this computer") from missing
    except subprocess.TimeoutExpired as late:
        raise CouldNotLook(f"{address}:{port}: no word from sshd within {PROBE_TIMEOUT_S} s") from late
    if done.returncode == 0:
        return ("none",)  # let in without any proof
    offered = _OFFER.search(done.stderr)
    if offered is None:
        raise CouldNotLook(f"{address}:{port}: sshd did not say what it offers: {done.stderr.strip()[-200:]}")
    return tuple(offered["methods"].split(","))
