"""How a command reaches a machine: over one warm OpenSSH connection."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from checks.gate.errors import CouldNotLook

CONNECT_TIMEOUT_S = 5
SSH_FAILED = 255
# A login over ssh has no sbin in its PATH on Debian; answers must not depend on the operator's language.
PREAMBLE = "export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; "
_NO_SUDO = re.compile(
    r"^sudo: (a password is required|a terminal is required|.*account validation failure|no valid sudoers)"
    r"|is not in the sudoers file|is not allowed to (execute|run) |^\S*sh: .*\bsudo: (command )?not found",
    re.MULTILINE,
)


@dataclass(frozen=True)
class CommandResult:
    """What one shell command answered. `rc` other than 0 is an answer, not an error."""

    command: str
    rc: int
    stdout: str
    stderr: str
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the command ended with status 0."""
        return self.rc == 0

    def lines(self) -> list[str]:
        """Standard output as stripped, non-empty lines."""
        return [line.strip() for line in self.stdout.splitlines() if line.strip()]


class Transport(Protocol):
    """Runs one shell command somewhere. Raises CouldNotLook when the command could not be run there."""

    def run(self, command: str, *, sudo: bool, timeout_s: float, stdin: str | None) -> CommandResult: ...


class SshTransport:
    """One machine through `ssh -F config host`; the config's ControlMaster keeps the connection warm."""

    def __init__(self, host: str, config: Path) -> None:
        self.host = host
        self.config = config

    def run(self, command: str, *, sudo: bool, timeout_s: float, stdin: str | None) -> CommandResult:
        """Run `command` in sh on the machine; `sudo` without a password; `timeout_s` in seconds."""
        remote = _as_root(command) if sudo else f"sh -c {shlex.quote(PREAMBLE + command)}"
        argv = [
            "ssh", "-F", str(self.config), "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_TIMEOUT_S}",
            self.host, "--", remote,
        ]  # fmt: skip
        result = _execute(self.host, command, argv, timeout_s, stdin)
        if result.rc == SSH_FAILED:
            why = _last_line(result.stderr)
            raise CouldNotLook(f"{self.host}: ssh failed: {why}; is the host up and the key right?")
        return _refuse_missing_sudo(self.host, result) if sudo else result


def _as_root(command: str) -> str:
    return f"sudo -n -- sh -c {shlex.quote(PREAMBLE + command)}"


def _execute(host: str, command: str, argv: list[str], timeout_s: float, stdin: str | None) -> CommandResult:
    started = time.monotonic()
    # No terminal and no inherited input: a tool that asks a question must end, not wait.
    try:
        done = subprocess.run(
            argv,
            input=stdin or "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as missing:
        raise CouldNotLook(f"{missing.filename} is not installed on this computer") from missing
    except subprocess.TimeoutExpired as late:
        raise CouldNotLook(f"{host}: no answer within {timeout_s:g} s to: {_short(command)}") from late
    return CommandResult(command, done.returncode, done.stdout, done.stderr, time.monotonic() - started)


def _refuse_missing_sudo(host: str, result: CommandResult) -> CommandResult:
    if result.rc != 0 and _NO_SUDO.search(result.stderr):
        raise CouldNotLook(f"{host}: sudo without a password is refused: {_last_line(result.stderr)}")
    return result


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def _short(command: str) -> str:
    flat = " ".join(command.split())
    return flat if len(flat) <= 120 else f"{flat[:117]}..."
