"""The timeline of a release, folded from its journal: each step's start, end and outcome, and each switch."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

SCHEMA = 1


def fold(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """timeline.json of these journal events. A step that never ended is "running" (or was cut off by a kill)."""
    steps: dict[int, dict[str, Any]] = {}
    timeline: dict[str, Any] = {
        "schema": SCHEMA,
        "release": None,
        "from": None,
        "started": None,
        "ended": None,
        "outcome": "running",
        "reason": None,
        "steps": [],
        "switches": [],
        "notes": [],
    }
    for event in events:
        facts = {key: value for key, value in event.items() if key not in ("event", "at")}
        match event["event"]:
            case "begun":
                timeline |= {"started": event["at"], **facts}
            case "release":
                timeline |= facts
            case "step begun":
                steps[facts.pop("id")] = {
                    **facts,
                    "started": event["at"],
                    "ended": None,
                    "seconds": None,
                    "outcome": "running",
                    "detail": "",
                }
            case "step ended":
                step = steps[facts.pop("id")]
                step |= {"ended": event["at"], "seconds": _seconds(step["started"], event["at"]), **facts}
            case "switched":
                timeline["switches"].append({"at": event["at"], **facts})
            case "ended":
                timeline |= {"ended": event["at"], **facts}
            case _:
                timeline["notes"].append({"at": event["at"], "event": event["event"], **facts})
    timeline["steps"] = list(steps.values())
    return timeline


def _seconds(start: str, end: str) -> float:
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds(), 3)
