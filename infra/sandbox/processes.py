"""Processes that outlive the command that started them, and the records by which they are found again."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.sandbox.errors import SandboxError


@dataclass(frozen=True)
class Running:
    """A process we started: its id and, because ids are used again, when it started.

    Attributes:
        pid: process id.
        started: start time in clock ticks since boot, from /proc/PID/stat.
        boot: id of the boot in which it ran.
        note: what else its starter must remember (a port, for example).
    """

    pid: int
    started: int
    boot: str
    note: str = ""

    @classmethod
    def of(cls, pid: int, note: str = "") -> "Running":
        """Describe a live process."""
        return cls(pid, start_ticks(pid) or 0, boot_id(), note)

    @classmethod
    def read(cls, path: Path) -> "Running | None":
        """Read a record; a missing or torn one is None."""
        try:
            return cls(**json.loads(path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Store the record in one step."""
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self)))
        new.replace(path)

    def alive(self) -> bool:
        """Whether that very process still runs."""
        return self.boot == boot_id() and self.started != 0 and start_ticks(self.pid) == self.started

    def end(self, *, gentle: int = signal.SIGTERM, patience: float = 5) -> None:
        """Ask it to end, and kill it when it has not within `patience` seconds."""
        for request in (gentle, signal.SIGKILL):
            if not self.alive():
                return
            try:
                os.kill(self.pid, request)
            except ProcessLookupError:
                return
            deadline = time.monotonic() + patience
            while self.alive() and time.monotonic() < deadline:
                reap(self.pid)
                time.sleep(0.02)


def spawn(command: Sequence[str], *, log: Path, note: str = "") -> Running:
    """Start a process in a session of its own, its output in `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True, cwd="/"
        )
    return Running.of(process.pid, note)


def keep_when_it_answers(
    process: Running, ask: Callable[[], None], record: Path, what: str, seconds: float = 10
) -> None:
    """Record the process once `ask` raises no OSError; one that never answers is ended and not recorded.

    Raises:
        SandboxError: naming what does not answer.
    """
    deadline = time.monotonic() + seconds
    process.write(record)
    while time.monotonic() < deadline:
        try:
            ask()
        except OSError:
            time.sleep(0.05)
        else:
            return
    process.end()
    record.unlink(missing_ok=True)
    raise SandboxError(f"{what} does not answer: see {record.parent}")


def knock(address: tuple[str, int]) -> None:
    """Connect and go away again. Raises OSError when nobody listens."""
    socket.create_connection(address, timeout=1).close()


def start_ticks(pid: int) -> int | None:
    """Start time of a process in ticks since boot; None when it is gone or only waits to be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[19])


def boot_id() -> str:
    """The kernel's id of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def reap(pid: int) -> None:
    """Collect a child's exit, if it is our child at all."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
