"""The running reverse proxy: its unit, its processes, and whether they know the configuration on disk."""

from __future__ import annotations

import re
from dataclasses import dataclass

from checks.gate import CouldNotLook, MachineUnderCheck

_FILES = r"nginx -T 2>/dev/null | sed -n 's/^# configuration file \(.*\):$/\1/p'"
# Files are dated by ctime, which nobody can set back; processes by their start since boot.
COMMAND = (
    "systemctl show -p ActiveState -p UnitFileState nginx; nginx -t >/dev/null 2>&1; echo Test=$?; "
    f"echo Written=$({_FILES} | xargs -r stat -L -c %Z | sort -n | tail -n 1); "
    "echo Now=$(date +%s); echo Uptime=$(cut -d' ' -f1 /proc/uptime); echo Ticks=$(getconf CLK_TCK); "
    "for p in $(pgrep -x nginx); do "
    'echo "Process $(tr "\\0" " " </proc/$p/cmdline) @ $(sed "s/.*) //" /proc/$p/stat | cut -d" " -f20)"; done'
)


@dataclass(frozen=True)
class Proxy:
    """The proxy as systemd and the kernel see it; times in seconds since the epoch."""

    active: str
    enabled: str
    test_status: int
    configuration_written: float
    workers_started: tuple[float, ...]

    @property
    def runs_what_is_written(self) -> bool:
        """Whether every worker that takes requests started after the last change of a configuration file."""
        return bool(self.workers_started) and min(self.workers_started) >= self.configuration_written - 1


def proxy(machine: MachineUnderCheck) -> Proxy:
    """NGINX on this machine. Raises CouldNotLook when it cannot be seen."""
    return parse(machine.run(COMMAND, sudo=True).stdout)


def parse(text: str) -> Proxy:
    """The answer to COMMAND. Raises CouldNotLook when a part is missing."""
    values = dict(line.split("=", 1) for line in text.splitlines() if re.match(r"\w+=", line))
    try:
        boot = float(values["Now"]) - float(values["Uptime"])
        ticks = float(values["Ticks"])
        started = tuple(
            boot + float(match[1]) / ticks
            for match in re.finditer(r"^Process nginx: worker process\s+@ (\d+)$", text, re.MULTILINE)
        )
        return Proxy(
            active=values["ActiveState"],
            enabled=values["UnitFileState"],
            test_status=int(values["Test"]),
            configuration_written=float(values["Written"] or 0),
            workers_started=started,
        )
    except (KeyError, ValueError) as missing:
        raise CouldNotLook(f"NGINX cannot be seen: {missing!r} in {text[-300:]!r}") from missing
