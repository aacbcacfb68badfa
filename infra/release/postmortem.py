"""Fills the post-mortem draft of a release that was taken back: what is known is written, the rest is asked."""

from pathlib import Path
from typing import Any

from infra.release.order import Outcome

NAME = "post-mortem.md"


def write(outcome: Outcome, timeline: dict[str, Any]) -> Path:
    """Write the draft into the release record and return its path."""
    path = outcome.record / NAME
    path.write_text("\n".join(_lines(outcome, timeline)) + "\n", encoding="utf-8")
    return path


def _lines(outcome: Outcome, timeline: dict[str, Any]) -> list[str]:
    old = outcome.came_from
    return [
        f"# Post-mortem (draft): release {outcome.candidate.version} {outcome.ending}",
        "",
        "| | |",
        "|---|---|",
        f"| Released | {outcome.candidate.release}, commit {outcome.candidate.commit} |",
        f"| Before | {f'{old.version} ({old.release})' if old else 'nothing'} |",
        f"| Current now | {outcome.current.version if outcome.current else 'nothing'} |",
        f"| Began, ended | {timeline['started']}, {timeline['ended']} |",
        f"| Outcome | {outcome.ending} |",
        "",
        "## What happened",
        "",
        outcome.reason,
        "",
        "## Impact",
        "",
        *_impact(timeline),
        *[f"- {name}: {value}" for name, value in outcome.facts.items()],
        "",
        "## Timeline",
        "",
        *[
            f"- {step['started']} {step['title']}: {step['outcome']}{_after(step)}"
            for step in timeline["steps"]
        ],
        "",
        "## Switches",
        "",
        *[
            f"- {one['at']} {one['host']} to {one['to']}{' (back)' if one.get('back') else ''}"
            for one in timeline["switches"]
        ],
        "",
        "## Trigger evidence",
        "",
        "- `report.html`, `report.json`: the gate's last look",
        "- `verdict/`: the paired slices and the verdict on them",
        "- `logs/`: the output of every step",
        "",
        "## To be answered by people",
        "",
        "- Root cause: ",
        "- Why did no earlier step notice? ",
        "- What will notice it next time, and who adds it by when? ",
    ]


def _impact(timeline: dict[str, Any]) -> list[str]:
    """How long users could reach the candidate: from the first switch to it until the last one back."""
    to = [one["at"] for one in timeline["switches"] if not one.get("back")]
    back = [one["at"] for one in timeline["switches"] if one.get("back")]
    if not to:
        return ["- No user's request reached the candidate."]
    hosts = len({one["host"] for one in timeline["switches"] if not one.get("back")})
    return [
        f"- The candidate served users on {hosts} app host(s) from {to[0]} until {back[-1] if back else 'now'}."
    ]


def _after(step: dict[str, Any]) -> str:
    seconds = "" if step["seconds"] is None else f" after {step['seconds']:.1f} s"
    return seconds + (f": {step['detail'].splitlines()[0]}" if step["detail"] else "")
