"""The way back when an undo does not bring green back: a snapshot of the sandbox, taken before anything is broken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SNAPSHOT_TIMEOUT_S = 180.0


class Snapshots:
    """Snapshot and restore through the sandbox's own command; on any other fleet there is no way but undo."""

    def __init__(self, command: list[str] | None, name: str) -> None:
        self._command = command
        self.name = name
        self.taken = False
        self.told = "no snapshot: undo is the only way back"

    def take(self) -> None:
        """Take the snapshot; a failure is told, not raised: undo may still work."""
        if self._command is None:
            return
        self.taken, self.told = self._call("snapshot")

    def restore(self) -> bool:
        """Put every machine back. Whether that worked."""
        if not self.taken:
            return False
        worked, self.told = self._call("restore")
        return worked

    def _call(self, verb: str) -> tuple[bool, str]:
        argv = [*(self._command or []), verb, self.name]
        try:
            done = subprocess.run(
                argv,
                capture_output=True,
                text=True,
                timeout=SNAPSHOT_TIMEOUT_S,
                check=False,
                env=dict(os.environ),
            )
        except (OSError, subprocess.TimeoutExpired) as fault:
            return False, f"{verb} failed: {fault}"
        last = (done.stdout + done.stderr).strip().splitlines()[-1:] or ["no message"]
        return done.returncode == 0, f"{verb}: {last[0]}"


def sandbox_command() -> list[str]:
    """The sandbox's command line, from the installation that this process runs in."""
    return [str(Path(sys.executable).with_name("launchgate")), "sandbox"]
