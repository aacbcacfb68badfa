"""What an app machine holds and runs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from pyinfra.api.facts import FactBase

SLOT_TOOL = "/usr/local/sbin/search-api-slot"
RELEASE_TOOL = "/usr/local/sbin/search-api-release"


@dataclass
class Slots:
    """The slots: which is active, and each one's state as `search-api-slot status` prints it."""

    active: str = ""
    slots: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def release(self) -> str:
        """The release that serves, or an empty text."""
        return str(self.slots.get(self.active, {}).get("release", ""))

    @property
    def inactive(self) -> str:
        """The slot that a new release goes into."""
        return "green" if self.active == "blue" else "blue"

    def serving(self, release: str) -> str:
        """The slot that runs the release, ready and on current settings, or an empty text; the active one first."""
        for name in sorted(self.slots, key=lambda name: name != self.active):
            slot = self.slots[name]
            if slot["release"] == release and slot["ready"] and slot["configuration"] == "current":
                return name
        return ""


class SlotStatus(FactBase[Slots]):
    """`search-api-slot status`, or empty slots on a machine that was never deployed."""

    @staticmethod
    def default() -> Slots:
        """Empty."""
        return Slots()

    def command(self) -> str:
        """Runs the tool where it is."""
        return f"[ ! -x {SLOT_TOOL} ] || {SLOT_TOOL} status"

    def process(self, output: list[str]) -> Slots:
        """The tool's JSON."""
        body = json.loads("\n".join(output) or "{}")
        return Slots(body.get("active") or "", body.get("slots") or {})


class InstalledReleases(FactBase[list[str]]):
    """Names of installed releases, newest first."""

    @staticmethod
    def default() -> list[str]:
        """None."""
        return []

    def command(self) -> str:
        """Lists complete releases."""
        return "ls -dt /srv/search-api/releases/*/manifest.json 2>/dev/null | cut -d/ -f5; true"

    def process(self, output: list[str]) -> list[str]:
        """One a line."""
        return [line for line in output if line]


class Holdings(FactBase[dict[str, Any]]):
    """Python and wheels, from `search-api-release holdings`."""

    @staticmethod
    def default() -> dict[str, Any]:
        """Nothing is known."""
        return {}

    def command(self) -> str:
        """Runs the tool where it is."""
        return f"[ ! -x {RELEASE_TOOL} ] || {RELEASE_TOOL} holdings"

    def process(self, output: list[str]) -> dict[str, Any]:
        """The tool's JSON."""
        return dict(json.loads("\n".join(output) or "{}"))
