"""One release at a time on a fleet: a lock that lies on the fleet itself and says who holds it."""

import getpass
import json
import os
import shlex
import socket
import threading
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.release.errors import CouldNotLook, LockHeld
from infra.release.process import start_time
from infra.release.transport import Answer, Transport

HEARTBEAT_SECONDS = 15.0
# A holder on a computer that we cannot look at counts as dead after missing this many seconds of heartbeats.
SILENCE_SECONDS = 120
NOT_YOURS = 75

# Every change happens under flock on the machine that keeps the lock, so that of two who both see a stale lock
# only one takes it over. $1 directory, $2 the token that must be there now ("" for none), new content on stdin.
_REPLACE = """
set -eu; mkdir -p "$1"; cd "$1"; exec 9>mutex; flock -w 20 9
have=$(sed -n 's/.*"token": "\\([0-9a-f]*\\)".*/\\1/p' lock 2>/dev/null || true)
[ -e lock ] && [ -z "$have" ] && have=unreadable
[ "$have" = "$2" ] || exit 75
cat >lock.new; sync lock.new; mv lock.new lock
"""
_REMOVE = """
set -eu; cd "$1" 2>/dev/null || exit 0; exec 9>mutex; flock -w 20 9
grep -q "\\"token\\": \\"$2\\"" lock 2>/dev/null || exit 75
rm -f lock
"""
_LOOK = """
cd "$1" 2>/dev/null || exit 0; [ -e lock ] || exit 0
echo $(( $(date +%s) - $(stat -c %Y lock) )); cat lock
"""
_TOUCH = """
cd "$1" && grep -q "\\"token\\": \\"$2\\"" lock && touch lock || exit 75
"""


@dataclass(frozen=True)
class Holder:
    """Who holds the lock. `place` tells apart computers, boots and process namespaces."""

    token: str
    host: str
    place: str
    pid: int
    started: str
    user: str
    since: str
    doing: str

    @classmethod
    def this_process(cls, doing: str) -> "Holder":
        """A holder that describes this process, with a fresh token."""
        return cls(
            token=uuid.uuid4().hex,
            host=socket.gethostname(),
            place=_place(),
            pid=os.getpid(),
            started=start_time(os.getpid()) or "",
            user=getpass.getuser(),
            since=datetime.now(UTC).isoformat(timespec="seconds"),
            doing=doing,
        )

    def alive(self, silence: float) -> bool:
        """Whether the holder still runs: looked up here, or judged by `silence` (seconds since its heartbeat)."""
        if self.place == _place():
            return start_time(self.pid) == self.started
        return silence < SILENCE_SECONDS

    def __str__(self) -> str:
        return f"{self.user} on {self.host} (process {self.pid}, {self.doing}), since {self.since}"


class FleetLock:
    """Context manager: takes the lock, keeps its heartbeat, and lets it go.

    Raises LockHeld when a living process has it. A dead holder's lock is taken over, and `say` is told.
    """

    def __init__(
        self,
        keeper: Transport,
        directory: str,
        doing: str,
        say: Callable[[str], None],
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._keeper = keeper
        self._directory = directory
        self._say = say
        self._heartbeat = heartbeat
        self._lost: str | None = None
        self._stop = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="lock heartbeat", daemon=True)
        self.me = Holder.this_process(doing)

    def __enter__(self) -> Self:
        found = self._look()
        taken = self._replace("") if found is None else self._take_over(*found)
        if not taken:
            now = self._look()
            holder = now[0] if now else "another release that was quicker"
            raise LockHeld(f"this fleet is locked by {holder}; wait for it")
        self._beating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._beating.join(timeout=self._heartbeat + 30)
        try:
            self._run(_REMOVE, self.me.token)
        except (
            CouldNotLook
        ) as silent:  # how the release ended matters more; the next run takes a dead lock over
            self._say(f"the release lock stays behind: {silent}")

    def still_ours(self) -> None:
        """Raises CouldNotLook when someone took the lock from us: nothing more may be changed then."""
        if self._lost is not None:
            raise CouldNotLook(
                f"{self._keeper.name}: the release lock is no longer ours ({self._lost}); stopping here"
            )

    def _take_over(self, holder: Holder | None, silence: float) -> bool:
        if holder is None:
            self._say(f"{self._keeper.name}: the release lock is unreadable; taking it over")
            return self._replace("unreadable")
        if holder.alive(silence):
            raise LockHeld(
                f"this fleet is locked by {holder}; wait for it, or end that process and run again: "
                "the next run finishes or undoes what it began"
            )
        self._say(f"taking over the lock of a dead release: {holder}")
        return self._replace(holder.token)

    def _look(self) -> tuple[Holder | None, float] | None:
        said = self._run(_LOOK, "").stdout
        if not said.strip():
            return None
        silence, _, text = said.partition("\n")
        try:
            return Holder(**json.loads(text)), float(silence)
        except (ValueError, TypeError):
            return None, float(silence)

    def _replace(self, expected: str) -> bool:
        answer = self._run(_REPLACE, expected, stdin=json.dumps(asdict(self.me)) + "\n")
        if answer.rc not in (0, NOT_YOURS):
            raise CouldNotLook(
                f"{self._keeper.name}: cannot write {self._directory}: {answer.stderr.strip()[-200:]}"
            )
        return answer.rc == 0

    def _beat(self) -> None:
        while not self._stop.wait(self._heartbeat):
            try:
                if self._run(_TOUCH, self.me.token).rc:
                    self._lost = "another release holds it"
                    return
            except CouldNotLook as silent:  # one missed beat is no loss; the next one may get through
                self._say(f"heartbeat of the lock: {silent}")

    def _run(self, script: str, argument: str, stdin: str = "") -> Answer:
        command = f"set -- {shlex.quote(self._directory)} {shlex.quote(argument)}\n{script}"
        return self._keeper.run(command, sudo=True, stdin=stdin, timeout=40)


def _place() -> str:
    """This computer, this boot, this process namespace: a process id means something only within one of them."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        boot = namespace = "?"
    return f"{socket.gethostname()} {boot} {namespace}"
