"""Reads what the gate wrote: open or closed, how many items of each outcome, which are red."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.release.errors import CouldNotLook

GREEN = ("PASS", "NOT_APPLICABLE", "ATTESTED", "WAIVED")
NOT_IMPLEMENTED = "not implemented"


@dataclass(frozen=True)
class GateReport:
    """One report.json. `unimplemented` are items without a check; `red` all other items that are not green."""

    opened: bool
    totals: Counter[str]
    red: tuple[str, ...]
    unimplemented: int

    def __str__(self) -> str:
        parts = [f"{self.totals['PASS']} pass"]
        parts += [
            f"{self.totals[name]} {name.lower().replace('_', ' ')}" for name in GREEN[1:] if self.totals[name]
        ]
        parts += [f"{len(self.red)} red"] if self.red else []
        parts += [f"{self.unimplemented} not implemented"] if self.unimplemented else []
        return " · ".join(parts)


def read(directory: Path) -> GateReport:
    """The report that the gate left in `directory`. Raises CouldNotLook when there is none that can be read."""
    path = directory / "report.json"
    try:
        body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        items = body["items"]
        missing = [
            item for item in items if item["outcome"] == "FAIL" and NOT_IMPLEMENTED in item.get("reason", "")
        ]
        red = [item["id"] for item in items if item["outcome"] not in GREEN and item not in missing]
        return GateReport(body["gate"] == "open", Counter(body["totals"]), tuple(red), len(missing))
    except (OSError, ValueError, KeyError, TypeError) as wrong:
        raise CouldNotLook(f"{path}: no report that can be read ({type(wrong).__name__}: {wrong})") from wrong
