"""Other programs as child processes: bounded in time, ended as a group, never outliving the conductor unseen."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.release.errors import ReleaseError

GRACE = 8.0  # seconds between asking a group to end and killing it


class TimedOut(ReleaseError):
    """A child process did not finish in its time."""


@dataclass(frozen=True)
class Finished:
    """How a child process ended. `log` holds all that it printed."""

    rc: int
    seconds: float
    log: Path

    def tail(self, lines: int = 12) -> str:
        """The last lines of the log that hold text."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


class Process:
    """One child in a session of its own. Start it in the thread that will wait for it.

    `register` is a directory in which the running child is noted, so that whoever comes after a killed
    conductor can end what it left behind (see `end_leftovers`).
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        timeout: float,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        register: Path | None = None,
    ) -> None:
        self.argv = tuple(argv)
        self.log = log
        self.timeout = timeout
        self._register = register
        log.parent.mkdir(parents=True, exist_ok=True)
        self._began = time.monotonic()
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as sink:
            try:
                self._child = subprocess.Popen(
                    [*_dying_with_its_parent(), *argv],
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    cwd=cwd,
                    env=None if env is None else {**os.environ, **env},
                    start_new_session=True,
                )
            except FileNotFoundError as missing:
                raise ReleaseError(f"{argv[0]}: not found; run the set-up (`make setup`) again") from missing
        self._note()

    @property
    def pid(self) -> int:
        """Process id; also the id of its group and session."""
        return self._child.pid

    def running(self) -> bool:
        """Whether the child has not ended yet."""
        return self._child.poll() is None

    def wait(self) -> Finished:
        """Wait for the end. Raises TimedOut after `timeout` seconds; ends the group on any exception."""
        left = self.timeout - (time.monotonic() - self._began)
        try:
            rc = self._child.wait(timeout=max(0.1, left))
        except subprocess.TimeoutExpired as slow:
            self.end()
            raise TimedOut(
                f"`{_shown(self.argv)}` did not finish in {self.timeout:.0f} s and was ended; its output: {self.log}"
            ) from slow
        except BaseException:
            self.end()
            raise
        self._forget()
        return Finished(rc, time.monotonic() - self._began, self.log)

    def end(self) -> None:
        """Ask the whole group to end, then kill what is left. Safe to call twice."""
        _signal_group(self._child.pid, signal.SIGTERM)
        try:
            self._child.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            _signal_group(self._child.pid, signal.SIGKILL)
            self._child.wait(timeout=GRACE)
        _signal_group(self._child.pid, signal.SIGKILL)
        self._forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.running():
            self.end()

    def _note(self) -> None:
        if self._register is not None:
            self._register.mkdir(parents=True, exist_ok=True)
            (self._register / str(self.pid)).write_text(start_time(self.pid) or "")

    def _forget(self) -> None:
        if self._register is not None:
            (self._register / str(self.pid)).unlink(missing_ok=True)


def run(
    argv: Sequence[str],
    *,
    log: Path,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    register: Path | None = None,
) -> Finished:
    """Run a program to its end; its exit code is the caller's to judge. Raises TimedOut."""
    return Process(argv, log=log, timeout=timeout, cwd=cwd, env=env, register=register).wait()


def start_time(pid: int) -> str | None:
    """When a process began, in clock ticks since boot, or None when there is no such process (or no /proc)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]


def end_leftovers(register: Path) -> list[int]:
    """End the sessions that a dead conductor noted in `register`; return the ids of those that still lived."""
    ended = []
    for note in sorted(register.glob("[0-9]*")) if register.is_dir() else []:
        session = int(note.name)
        began = start_time(session)
        if began is None or began == note.read_text():  # else the number now belongs to someone else
            members = _members(session)
            for member in members:
                _signal(member, signal.SIGKILL)
            if members:
                ended.append(session)
        note.unlink(missing_ok=True)
    return ended


def _members(session: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we looked
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(entry.name))
    return found


def _dying_with_its_parent() -> tuple[str, ...]:
    """A prefix that ends the child when the conductor is killed with SIGKILL, where the system offers one."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "TERM", "--") if setpriv else ()


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _shown(argv: Sequence[str]) -> str:
    return " ".join([Path(argv[0]).name, *argv[1:4], *(["…"] if len(argv) > 4 else [])])
