"""The SSH server: settings that hold for one user and origin, and what the running daemon itself offers."""

from __future__ import annotations

import re
import shlex
import subprocess

from checks.gate import CouldNotLook, MachineUnderCheck

PROBE_TIMEOUT_S = 10
_OFFER = re.compile(r"Permission denied \((?P<methods>[a-z,-]+)\)")


def effective(machine: MachineUnderCheck, user: str, address: str) -> dict[str, str]:
    """`sshd -T` for a user who comes from an address: drop-ins, first-value-wins and Match blocks applied.

    Keys in lower case; of several lines with one key the last counts. Raises CouldNotLook.
    """
    return of_users(machine, [user], address)[user]


def of_users(machine: MachineUnderCheck, users: list[str], address: str) -> dict[str, dict[str, str]]:
    """The same for several users in one look."""
    asked = " ".join(shlex.quote(user) for user in users)
    answer = machine.must(
        f"for u in {asked}; do echo user-looked-at $u; "
        f"sshd -T -C user=$u,host={shlex.quote(address)},addr={shlex.quote(address)} || exit 1; done",
        sudo=True,
    )
    return parse(answer.stdout)


def parse(text: str) -> dict[str, dict[str, str]]:
    """Settings by user out of the answer."""
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        key, _, value = line.strip().partition(" ")
        if key == "user-looked-at":
            found[value] = {}
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
        "-o", "ConnectTimeout=5", "-o", "ControlPath=none", f"{user}@{address}", "true",
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
