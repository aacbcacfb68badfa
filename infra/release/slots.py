"""The two slots of an app host: what runs in them, and moving new connections from one to the other."""

import json
import shlex
from dataclasses import dataclass, field
from typing import Any

from infra.release.errors import CouldNotLook, ReleaseError
from infra.release.transport import Transport

TOOL = "/usr/local/sbin/search-api-slot"
START_SECONDS = 90.0


@dataclass(frozen=True)
class Slot:
    """One slot. `release` is what it points at, "" when empty."""

    name: str
    release: str
    version: str
    running: bool
    ready: bool


@dataclass(frozen=True)
class SlotStatus:
    """Both slots of one host. `active` None: nothing is served yet."""

    active: str | None = None
    slots: dict[str, Slot] = field(default_factory=dict)

    @property
    def release(self) -> str | None:
        """The release that new connections reach."""
        return self.slots[self.active].release if self.active in self.slots else None

    def holding(self, release: str) -> Slot | None:
        """The slot that holds a release; the active one when both do."""
        found = [slot for slot in self.slots.values() if slot.release == release]
        return next((slot for slot in found if slot.name == self.active), found[0] if found else None)


class AppHost:
    """An app host as a release sees it. All methods raise CouldNotLook when the host does not answer."""

    def __init__(self, transport: Transport, tool: str = TOOL) -> None:
        self.transport = transport
        self.name = transport.name
        self._tool = tool

    def status(self) -> SlotStatus:
        """What is in the slots; an empty status on a host that was never deployed."""
        tool = shlex.quote(self._tool)
        answer = self.transport.run(f"[ -x {tool} ] || exit 0; {tool} status", sudo=True)
        if answer.rc:
            raise CouldNotLook(
                f"{self.name}: `search-api-slot status` failed: {answer.stderr.strip()[-300:]}"
            )
        if not answer.stdout.strip():
            return SlotStatus()
        try:
            body = json.loads(answer.stdout)
            slots = {name: _slot(name, one) for name, one in body["slots"].items()}
            return SlotStatus(body.get("active") or None, slots)
        except (ValueError, KeyError, TypeError, AttributeError) as wrong:
            raise CouldNotLook(
                f"{self.name}: `search-api-slot status` said no JSON of slots: {answer.stdout[-200:]}"
            ) from wrong

    def serve(self, release: str) -> bool:
        """Move new connections to the slot that holds `release`, starting it when it is cold.

        Idempotent; True when something moved. Raises ReleaseError when no slot holds it or it is not ready.
        """
        before = self.status()
        slot = before.holding(release)
        if slot is None:
            raise ReleaseError(f"{self.name}: no slot holds {release}; stage it first")
        if not (slot.running and slot.ready):
            self._do("start", slot.name, release)
        if before.active != slot.name:
            self._do("switch", slot.name)
        after = self.status()
        if after.release != release:
            raise ReleaseError(f"{self.name}: switched to {release}, but {after.release} is active")
        return before.active != slot.name

    def take(self, release: str) -> None:
        """Point the inactive slot at a release that is installed on the host, and start it."""
        active = self.status().active
        self._do("start", "green" if active == "blue" else "blue", release)

    def _do(self, *words: str) -> None:
        command = " ".join(shlex.quote(word) for word in (self._tool, *words))
        answer = self.transport.run(command, sudo=True, timeout=START_SECONDS)
        if answer.rc:
            said = (answer.stderr.strip() or answer.stdout.strip())[-400:]
            raise ReleaseError(f"{self.name}: `search-api-slot {' '.join(words)}` failed: {said}")


def _slot(name: str, body: dict[str, Any]) -> Slot:
    return Slot(
        name=name,
        release=body.get("release") or "",
        version=body.get("version") or "",
        running=bool(body.get("running")),
        ready=bool(body.get("ready")),
    )
