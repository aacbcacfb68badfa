"""A machine's disk: read-only layers under one writable layer, so that a snapshot copies nothing.

A snapshot turns the writable layer into a read-only one and puts an empty one on top; going back throws the
writable layer away. Both need the machine to be off, for a mounted overlay keeps its layers.
"""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from infra.sandbox.errors import SandboxError

SNAPSHOT_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,40}")
_DEEPEST = 40


@dataclass(frozen=True)
class Disk:
    """One machine's layers, oldest first; the last is writable.

    Attributes:
        directory: where the machine keeps its layers and their records.
        image: root of the read-only image at the bottom.
    """

    directory: Path
    image: Path

    @property
    def top(self) -> Path:
        """The writable layer (a directory that holds `upper` and `work`)."""
        return self._layer(self._stack()[-1])

    def create(self) -> None:
        """Make an empty writable layer unless there is a disk already."""
        if not self._record.exists():
            self._new_top([])

    def exists(self) -> bool:
        """Whether the machine has a disk."""
        return self._record.exists()

    def mount_options(self) -> str:
        """Options for `mount -t overlay`."""
        stack = self._stack()
        lower = [str(self._layer(name) / "upper") for name in reversed(stack[:-1])]
        return f"lowerdir={':'.join([*lower, str(self.image)])},upperdir={self.top}/upper,workdir={self.top}/work"

    def snapshots(self) -> list[str]:
        """Names of the snapshots taken."""
        return sorted(path.stem for path in (self.directory / "snapshots").glob("*.json"))

    def require_room_for(self, name: str) -> None:
        """Make sure that a snapshot of that name can be taken, before any machine is stopped for it.

        Raises:
            SandboxError: a bad name, or too many snapshots on one another.
        """
        if not SNAPSHOT_NAME.fullmatch(name):
            raise SandboxError(
                f"{name!r}: a snapshot's name is lower-case letters, digits, dot, dash", exit_code=2
            )
        if len(self._stack()) >= _DEEPEST:
            raise SandboxError(
                f"{self.directory.name} has {_DEEPEST} layers: restore an older snapshot first"
            )

    def snapshot(self, name: str) -> None:
        """Remember the disk as it is now; the machine must be off.

        Raises:
            SandboxError: as `require_room_for`.
        """
        self.require_room_for(name)
        stack = self._stack()
        self._write(self.directory / "snapshots" / f"{name}.json", stack)
        self._new_top(stack)

    def restore(self, name: str) -> None:
        """Go back to a snapshot; what came after it is thrown away, other snapshots stay.

        Raises:
            SandboxError: there is no such snapshot.
        """
        record = self.directory / "snapshots" / f"{name}.json"
        if not record.exists():
            known = ", ".join(self.snapshots()) or "none"
            raise SandboxError(
                f"{self.directory.name} has no snapshot {name!r} (known: {known})", exit_code=2
            )
        self._new_top(json.loads(record.read_text()))
        self._collect()

    def _new_top(self, below: list[str]) -> None:
        names = [int(path.name) for path in self.directory.glob("layers/*")]
        top = str(max(names, default=0) + 1)
        for part in ("upper", "work"):
            (self._layer(top) / part).mkdir(parents=True)
        (self._layer(top) / "upper").chmod(0o755)
        self._write(self._record, [*below, top])

    def _collect(self) -> None:
        """Remove layers that neither the disk nor a snapshot uses."""
        used = set(self._stack())
        for record in (self.directory / "snapshots").glob("*.json"):
            used |= set(json.loads(record.read_text()))
        for layer in (self.directory / "layers").iterdir():
            if layer.name not in used:
                shutil.rmtree(layer, ignore_errors=True)

    @property
    def _record(self) -> Path:
        return self.directory / "stack.json"

    def _layer(self, name: str) -> Path:
        return self.directory / "layers" / name

    def _stack(self) -> list[str]:
        return list(json.loads(self._record.read_text()))

    @staticmethod
    def _write(path: Path, stack: list[str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(stack))
        new.replace(path)
