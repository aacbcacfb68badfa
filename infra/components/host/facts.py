"""What must be known of a machine before anything is changed on any."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field

from pyinfra.api.facts import FactBase

PATHS = ("/", "/var", "/usr", "/srv", "/var/lib/mysql", "/tmp")  # noqa: S108 (looked at, not written to)


@dataclass
class Condition:
    """A machine's condition: free space by path (MiB), listeners by port, distribution, kind of user."""

    free_mb: dict[str, int] = field(default_factory=dict)
    listeners: dict[int, str] = field(default_factory=dict)
    codename: str = ""
    root: bool = False


class MachineCondition(FactBase[Condition]):
    """One command for the whole condition."""

    @staticmethod
    def default() -> Condition:
        """Nothing is known."""
        return Condition()

    def command(self) -> str:
        """Prints key=value lines."""
        paths = " ".join(shlex.quote(path) for path in PATHS)
        return (
            'echo "user=$(id -u)"; . /etc/os-release; echo "codename=$VERSION_CODENAME"; '
            f'for p in {paths}; do [ -d "$p" ] && echo "free=$p $(df -Pm "$p" | awk "NR==2 {{print \\$4}}")"; done; '
            'ss -Hltnp | awk \'{print "listen=" $4 " " $6}\'; true'
        )

    def process(self, output: list[str]) -> Condition:
        """The lines as a Condition."""
        found = Condition()
        for line in output:
            key, _, value = line.partition("=")
            if key == "user":
                found.root = value == "0"
            elif key == "codename":
                found.codename = value
            elif key == "free":
                path, _, free = value.partition(" ")
                found.free_mb[path] = int(free)
            elif key == "listen":
                address, _, users = value.partition(" ")
                owner = re.search(r'\(\("([^"]+)",pid=(\d+)', users)
                port = int(address.rpartition(":")[2])
                found.listeners[port] = f"{owner[1]} (pid {owner[2]})" if owner else "an unknown process"
        return found


class SshClient(FactBase[str]):
    """The address that this machine sees us come from; to be asked without sudo, which forgets it."""

    @staticmethod
    def default() -> str:
        """Unknown."""
        return ""

    def command(self) -> str:
        """Prints the address."""
        return 'echo "${SSH_CONNECTION%% *}"'

    def process(self, output: list[str]) -> str:
        """The address."""
        return output[0].strip() if output else ""
