"""A machine as a check sees it: run a command, get its answer, remembered for the rest of the run."""

from __future__ import annotations

import re
import threading

from checks.gate.errors import CouldNotLook
from checks.gate.transport import CommandResult, Transport

RUN_TIMEOUT_S = 20.0
_MISSING_TOOL = re.compile(
    r"^(?:\S*sh: (?:line )?\d+: |sudo: |\S*sh: )(?P<tool>[^:\s]+): (?:command )?not found$", re.MULTILINE
)

Key = tuple[str, bool, str | None]


class MachineUnderCheck:
    """One machine of the inventory.

    Answers are remembered per (command, sudo, stdin) until `forget()`: forty items that all read `nginx -T`
    cost one round trip. Every run of the gate starts with an empty memory; a sabotage's machine has none.
    """

    def __init__(
        self, name: str, address: str, roles: tuple[str, ...], transport: Transport, *, remembers: bool = True
    ) -> None:
        self.name = name
        self.address = address
        self.roles = roles
        self._transport = transport
        self._remembers = remembers
        self._answers: dict[Key, CommandResult | CouldNotLook] = {}
        self._lock = threading.Lock()

    def run(
        self,
        command: str,
        *,
        sudo: bool = False,
        timeout_s: float = RUN_TIMEOUT_S,
        cached: bool = True,
        stdin: str | None = None,
        missing_ok: bool = False,
    ) -> CommandResult:
        """Run one line of POSIX shell there and return its answer; any exit status is an answer.

        `cached=False` asks again (for values that move: counters, time). `stdin` is fed to the command: give
        secrets that way, never in `command`. Raises CouldNotLook when ssh fails, sudo is refused, `timeout_s`
        seconds pass, or a program in the command is not installed (unless `missing_ok`).
        """
        answer = self._remembered(command, sudo, timeout_s, cached, stdin)
        missing = None if missing_ok else _MISSING_TOOL.search(answer.stderr)
        if missing:
            raise CouldNotLook(f"{self.name}: {missing['tool']} is not installed; needed for: {command}")
        return answer

    def must(
        self, command: str, *, sudo: bool = False, timeout_s: float = RUN_TIMEOUT_S, stdin: str | None = None
    ) -> CommandResult:
        """Run and require exit status 0; else raise CouldNotLook. For steps, not for observations."""
        answer = self.run(command, sudo=sudo, timeout_s=timeout_s, stdin=stdin)
        if not answer.ok:
            said = answer.stderr.strip()[-300:]
            raise CouldNotLook(f"{self.name}: status {answer.rc} from: {command}: {said}")
        return answer

    def forget(self) -> None:
        """Drop every remembered answer."""
        with self._lock:
            self._answers.clear()

    def unremembering(self) -> MachineUnderCheck:
        """The same machine without memory, for code that changes it."""
        return MachineUnderCheck(self.name, self.address, self.roles, self._transport, remembers=False)

    def _remembered(
        self, command: str, sudo: bool, timeout_s: float, cached: bool, stdin: str | None
    ) -> CommandResult:
        key = (command, sudo, stdin)
        if cached and self._remembers:
            with self._lock:
                known = self._answers.get(key)
            if isinstance(known, CouldNotLook):
                raise known
            if known is not None:
                return known
        try:
            answer = self._transport.run(command, sudo=sudo, timeout_s=timeout_s, stdin=stdin)
        except CouldNotLook as blind:
            self._remember(key, blind)
            raise
        self._remember(key, answer)
        return answer

    def _remember(self, key: Key, answer: CommandResult | CouldNotLook) -> None:
        if self._remembers:
            with self._lock:
                self._answers[key] = answer

    def __repr__(self) -> str:
        return f"<machine {self.name} {self.address} {','.join(self.roles)}>"
