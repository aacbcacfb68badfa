"""report.html: one self-contained page, in light and dark, that opens with the verdict and its reasons."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import jinja2

from checks.gate.outcomes import Outcome

TEMPLATES = Path(__file__).with_name("templates")
_REDS = (Outcome.ERROR, Outcome.FAIL, Outcome.NOT_REVIEWED)
_PERCENTILES = ("p50", "p95", "p99")
_TIME_KEYS = ("at", "time", "started", "stamp", "ts")
_TEXT_KEYS = ("step", "event", "what", "name", "message", "detail", "outcome")


def render_html(report: dict[str, Any]) -> str:
    """The page for a document of report.json."""
    chapters: dict[str, list[dict[str, Any]]] = {}
    for one in report["items"]:
        chapters.setdefault(one["chapter"], []).append(one)
    steps = [step for step in report.get("timeline") or () if isinstance(step, dict)]
    return _template().render(
        report=report,
        failed=next((step for step in steps if step.get("outcome") == "failed"), None),
        taken_back=any(step.get("name") == "back" and step.get("outcome") == "done" for step in steps),
        chapters=chapters,
        reds=_reds(report),
        waived=[one for one in report["items"] if one["outcome"] in (Outcome.WAIVED, Outcome.ATTESTED)],
        load=_load_rows(report.get("load")),
        load_figures=_figures(report.get("load")),
        timeline=_timeline_rows(report.get("timeline")),
    )


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.j2")


def _reds(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Implemented red items, worst first; those not implemented are only counted."""
    reds = [one for one in report["items"] if one["outcome"] in _REDS and one["implemented"]]
    return sorted(reds, key=lambda one: _REDS.index(one["outcome"]))


def _figures(load: dict[str, Any] | None) -> dict[str, Any]:
    """The single numbers of a load, as they stand."""
    if load is None:
        return {}
    return {key: value for key, value in load.items() if isinstance(value, (int, float, str, bool))}


def _load_rows(load: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Latency percentiles (ms) of every endpoint, with bars as shares of the largest p99."""
    endpoints = (load or {}).get("endpoints", {})
    pairs = (
        endpoints.items()
        if isinstance(endpoints, dict)
        else [(one.get("name", "?"), one) for one in endpoints]
    )
    rows: list[dict[str, Any]] = []
    for name, figures in pairs:
        found = {p: _number(figures.get(f"{p}_ms", figures.get(p))) for p in _PERCENTILES}
        rows.append({"name": name, "percentiles": found, "requests": figures.get("requests", "")})
    largest = max((value for row in rows for value in row["percentiles"].values()), default=0.0) or 1.0
    for row in rows:
        row["bars"] = [(p, value, round(100 * value / largest, 1)) for p, value in row["percentiles"].items()]
    return rows


def _timeline_rows(timeline: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """When, what, and seconds (with a bar as a share of the longest) of every step."""
    rows: list[dict[str, Any]] = []
    for one in timeline or []:
        when = next((str(one[key]) for key in _TIME_KEYS if key in one), "")
        what = " · ".join(str(one[key]) for key in _TEXT_KEYS if one.get(key))
        rows.append({"when": when, "what": what or str(one), "seconds": _number(one.get("seconds"))})
    longest = max((row["seconds"] for row in rows), default=0.0) or 1.0
    for row in rows:
        row["share"] = round(100 * row["seconds"] / longest, 1)
    return rows


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
