"""load.html: one run on one page, with nothing to fetch and no script to run."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from loadtests.results import MET, VOID, sentence
from loadtests.samples import Record, Sample, percentile

WIDTH, HEIGHT, LEFT, BOTTOM = 900, 240, 56, 26
DOTS = 3000
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #d0d7de;
 --good: #1a7f37; --bad: #cf222e; --a: #0969da; --b: #bc4c00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --line: #30363d; --good: #3fb950;
 --bad: #f85149;
 --a: #58a6ff; --b: #f0883e; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 960px;
margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem } .met { color: var(--good) } .missed, .void
{ color: var(--bad) }
table { border-collapse: collapse; width: 100% } th, td { text-align: right; padding: .3rem .6rem; border-
bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left } td.bad { color: var(--bad); font-weight: 600 }
svg { width: 100%; height: auto } svg text { font: 11px system-ui, sans-serif; fill: var(--ink) } .grid {
stroke: var(--line) }
"""


def page(summary: dict[str, Any], record: Record) -> str:
    """The page. `summary` is load.json, `record` the raw requests behind it."""
    title = f"Load: {summary['scenario']} on {summary['target']}"
    sections = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="{summary["outcome"]}"><strong>{_word(summary)}</strong> {html.escape(sentence(summary))}</p>',
        "<h2>Endpoints</h2>", _table(summary),
        "<h2>Response time from the planned moment, ms</h2>", _latencies(record.samples, summary["duration_s"]),
        "<h2>Offered and answered, requests/s</h2>", _rates(record.samples, summary["duration_s"]),
        "<h2>The generator</h2>", _generator(summary),
    ]  # fmt: skip
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>{''.join(sections)}</body></html>\n"
    )


def _word(summary: dict[str, Any]) -> str:
    return {MET: "Objectives met.", VOID: "Void run: it proves nothing."}.get(
        summary["outcome"], "Objectives missed."
    )


def _table(summary: dict[str, Any]) -> str:
    titles = (
        "endpoint",
        "requests",
        "errors",
        "p50 ms",
        "p95 ms",
        "objective",
        "p99 ms",
        "objective",
        "max ms",
    )
    head = f"<tr>{''.join(f'<th>{title}' for title in titles)}</tr>"
    rows = []
    for name, numbers in summary["endpoints"].items():
        objective = summary["objectives"][name]
        bad_rate = (
            numbers["errors"] > objective["max_error_rate"] * numbers["requests"] or not numbers["requests"]
        )
        cells = [
            _cell(numbers["requests"], False), _cell(numbers["errors"], bad_rate), _cell(numbers["p50_ms"], False),
            _cell(numbers["p95_ms"], _above(numbers["p95_ms"], objective["p95_ms"])), _cell(objective["p95_ms"], False),
            _cell(numbers["p99_ms"], _above(numbers["p99_ms"], objective["p99_ms"])), _cell(objective["p99_ms"], False),
            _cell(numbers["max_ms"], False),
        ]  # fmt: skip
        rows.append(
            f'<tr title="{html.escape(objective["rationale"])}"><td>{html.escape(name)}{"".join(cells)}</tr>'
        )
    return f"<table>{head}{''.join(rows)}</table>"


def _above(value: float | None, limit: float) -> bool:
    return value is not None and value > limit


def _cell(value: float | None, bad: bool) -> str:
    text = "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
    return f'<td class="bad">{text}' if bad else f"<td>{text}"


def _latencies(samples: Sequence[Sample], duration: float) -> str:
    if not samples:
        return "<p>No request was answered.</p>"
    top = max(sample.response_ms for sample in samples) * 1.05
    frame = _Frame(duration, top)
    # Thin out good requests only, evenly; every error is drawn.
    good = [sample for sample in samples if not sample.error]
    dots = good[:: max(1, len(good) // DOTS)] + [sample for sample in samples if sample.error]
    marks = [
        f'<circle cx="{frame.x(s.planned):.1f}" cy="{frame.y(s.response_ms):.1f}" r="{3 if s.error else 1.6}" '
        f'fill="var({"--bad" if s.error else "--a"})" fill-opacity="{1 if s.error else 0.45}">'
        f"<title>{html.escape(_told(s))}</title></circle>"
        for s in dots
    ]
    p95 = [
        (second + 0.5, percentile([s.response_ms for s in samples if second <= s.planned < second + 1], 0.95))
        for second in range(int(duration) + 1)
    ]
    return frame.drawn(
        "".join(marks) + frame.line([(at, value) for at, value in p95 if value is not None], "--b")
    ) + ("<p>Dots: requests (red: failed). Line: p95 of each second.</p>")


def _told(sample: Sample) -> str:
    fault = f" ({sample.error})" if sample.error else ""
    return f"{sample.endpoint} {sample.response_ms:.1f} ms at {sample.planned:.1f} s{fault}"


def _rates(samples: Sequence[Sample], duration: float) -> str:
    seconds = range(int(duration) + 1)
    offered = [(s + 0.5, float(sum(1 for x in samples if s <= x.planned < s + 1))) for s in seconds]
    answered = [
        (s + 0.5, float(sum(1 for x in samples if x.error is None and s <= x.done < s + 1))) for s in seconds
    ]
    frame = _Frame(duration, max(1.0, *(value for _, value in (*offered, *answered))) * 1.1)
    return (
        frame.drawn(frame.line(offered, "--b") + frame.line(answered, "--a"))
        + "<p>Orange: planned. Blue: answered without error.</p>"
    )


def _generator(summary: dict[str, Any]) -> str:
    audit = summary["generator"]
    if audit is None:
        return "<p>It left no audit: the run is void.</p>"
    return (
        f"<p>{audit['sent']} of {audit['planned']} planned requests sent; CPU {audit['cpu_share']:.2f} of a core; "
        f"dispatched late by {audit['lag_p99_ms']:.1f} ms (p99), {audit['lag_max_ms']:.1f} ms at most. Open model: "
        f"{html.escape(summary['arrivals'])} arrivals that do not wait for the server.</p>"
    )


class _Frame:
    """Axes of one plot: seconds to the right, values upwards from 0."""

    def __init__(self, duration: float, top: float) -> None:
        self._duration, self._top = max(duration, 1e-9), max(top, 1e-9)

    def x(self, seconds: float) -> float:
        return LEFT + min(seconds / self._duration, 1.0) * (WIDTH - LEFT - 8)

    def y(self, value: float) -> float:
        return 8 + (1 - value / self._top) * (HEIGHT - BOTTOM - 8)

    def line(self, points: Sequence[tuple[float, float]], colour: str) -> str:
        path = " ".join(f"{self.x(at):.1f},{self.y(value):.1f}" for at, value in points)
        return f'<polyline points="{path}" fill="none" stroke="var({colour})" stroke-width="1.6"/>'

    def drawn(self, content: str) -> str:
        grid = []
        for step in range(5):
            value, at = self._top * step / 4, self._duration * step / 4
            grid.append(
                f'<line class="grid" x1="{LEFT}" x2="{WIDTH - 8}" y1="{self.y(value):.1f}" y2="{self.y(value):.1f}"/>'
                f'<text x="{LEFT - 6}" y="{self.y(value) + 4:.1f}" text-anchor="end">{value:,.0f}</text>'
                f'<text x="{self.x(at):.1f}" y="{HEIGHT - 6}" text-anchor="middle">{at:.0f} s</text>'
            )
        return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(grid)}{content}</svg>'
