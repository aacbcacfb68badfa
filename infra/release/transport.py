"""How a command reaches a machine: over SSH, or in a local shell where the machine is this one."""

import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infra.release.errors import CouldNotLook

CONNECT_SECONDS = 5


@dataclass(frozen=True)
class Answer:
    """What a remote command said."""

    rc: int
    stdout: str
    stderr: str


class Transport(Protocol):
    """Runs shell commands on one machine."""

    @property
    def name(self) -> str:
        """The machine's name in the inventory."""

    def run(self, command: str, *, sudo: bool = False, stdin: str = "", timeout: float = 30.0) -> Answer:
        """Run `command` with sh, as root when `sudo`. Any exit code is an answer.

        Raises CouldNotLook when the machine or its login does not answer within `timeout` seconds.
        """


@dataclass(frozen=True)
class Ssh:
    """A machine reached by the OpenSSH client and an ssh_config (which brings key, known hosts, multiplexing)."""

    name: str
    config: Path

    def run(self, command: str, *, sudo: bool = False, stdin: str = "", timeout: float = 30.0) -> Answer:
        """See Transport. An SSH failure (exit 255) is named by its cause and cure."""
        remote = f"sudo -n sh -c {shlex.quote(command)}" if sudo else f"sh -c {shlex.quote(command)}"
        argv = [
            "ssh",
            "-F",
            str(self.config),
            "-o",
            "BatchMode=yes",
            "-o",
            f"ConnectTimeout={CONNECT_SECONDS}",
        ]
        answer = _run([*argv, self.name, remote], self.name, stdin, timeout)
        if answer.rc == 255:
            raise CouldNotLook(f"{self.name}: {_why_ssh_failed(answer.stderr)}")
        if sudo and answer.rc == 1 and answer.stderr.startswith("sudo:"):
            raise CouldNotLook(
                f"{self.name}: no sudo without a password for the login user; grant it in sudoers"
            )
        return answer


@dataclass(frozen=True)
class LocalShell:
    """This computer, in a directory: commands run with sh there, and sudo changes nothing."""

    name: str
    directory: Path

    def run(self, command: str, *, sudo: bool = False, stdin: str = "", timeout: float = 30.0) -> Answer:  # noqa: ARG002
        """See Transport."""
        return _run(["sh", "-c", command], self.name, stdin, timeout, self.directory)


def _run(argv: list[str], name: str, stdin: str, timeout: float, cwd: Path | None = None) -> Answer:
    try:
        # A session of its own: Ctrl-C at the terminal reaches the conductor, which decides, and not this child.
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            cwd=cwd,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as slow:
        raise CouldNotLook(
            f"{name}: no answer within {timeout:.0f} s; is the machine up and not overloaded?"
        ) from slow
    except FileNotFoundError as missing:
        raise CouldNotLook(f"{argv[0]} is not installed here; install the OpenSSH client") from missing
    return Answer(done.returncode, done.stdout, done.stderr)


def _why_ssh_failed(stderr: str) -> str:
    said = " ".join(line for line in stderr.split("\n") if line and not line.startswith("Warning:")).strip()
    low = said.lower()
    if "permission denied" in low:
        return "login refused: wrong SSH key or user; set ssh_key and ssh_user of this inventory"
    if "host key verification failed" in low or "identification has changed" in low:
        return "host key is not the known one: not the machine you mean, or rebuilt; correct its known_hosts"
    if "timed out" in low or "no route" in low or "refused" in low or "unreachable" in low:
        return f"unreachable by SSH ({said[-120:]}); is the machine up, is its address right?"
    if "could not resolve" in low:
        return "its address does not resolve; correct it in the inventory"
    return f"SSH failed ({said[-200:]})"
