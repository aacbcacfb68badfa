"""An append-only file of what happened, written through to the disk line by line: it survives kill -9."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class Journal:
    """`journal.jsonl` of one release record."""

    def __init__(self, path: Path, clean: Callable[[object], object] = lambda value: value) -> None:
        self._path = path
        self._clean = clean

    def append(self, event: str, **facts: object) -> None:
        """Write one line and wait until the disk has it."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps(self._clean({"at": now, "event": event, **facts}))
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[dict[str, Any]]:
        """All whole lines; a last line cut short by a crash is left out."""
        if not self._path.is_file():
            return []
        lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]
