"""What the terminal says at the end: a verdict that can be read in ten seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from checks.gate.outcomes import Outcome
from checks.gate.verdict import GateResult, ItemResult

MOST_REDS = 25


def write_summary(terminal: Any, result: GateResult, report: Path) -> None:
    """Counts per outcome, every red item with reason and cure, what was waived, where the report is."""
    terminal.section("release gate", sep="=")
    for fault in result.refused:
        terminal.write_line(f"WAIVER REFUSED  {fault}", red=True, bold=True)
    for one in result.items:
        if one.outcome in (Outcome.WAIVED, Outcome.ATTESTED):
            _write_excused(terminal, one)
    _write_reds(terminal, result)
    for why in result.closing_reasons():
        terminal.write_line(f"CLOSED BECAUSE  {why}", red=True, bold=True)
    if missing := len(result.unimplemented):
        told = (
            "ignored, as told by --allow-unimplemented"
            if result.allow_unimplemented
            else "each counts as FAIL"
        )
        terminal.write_line(
            f"NOT IMPLEMENTED  {missing} of {len(result.items)} items; {told}", yellow=True, bold=True
        )
    counts = " · ".join(f"{count} {name}" for name, count in result.totals.items() if count)
    terminal.write_line(f"{len(result.items)} items: {counts}")
    word = "OPEN" if result.is_open else "CLOSED"
    markup = {"green": True} if result.is_open else {"red": True}
    terminal.write_line(
        f"gate {word} (exit {result.exit_code}) · {result.inventory} · phase {result.phase}",
        bold=True,
        **markup,
    )
    terminal.write_line(f"report: {report}")


def _write_excused(terminal: Any, one: ItemResult) -> None:
    entry = one.waiver if one.outcome is Outcome.WAIVED else one.attestation
    word = entry.told() if entry else ""
    terminal.write_line(f"{one.outcome.value:<9} {one.item.id} {one.item.title}: {word}", yellow=True)
    if one.outcome is Outcome.WAIVED:
        terminal.write_line(f"          still {one.measured.value}: {_short(one.reason)}", yellow=True)


def _write_reds(terminal: Any, result: GateResult) -> None:
    reds = [one for one in result.red if one.implemented]
    for one in reds[:MOST_REDS]:
        terminal.write_line(f"{one.outcome.value:<12} {one.item.id} {one.item.title}", red=True)
        terminal.write_line(f"             {_short(one.reason)}")
        terminal.write_line(f"             cure: {one.item.cure}")
    if len(reds) > MOST_REDS:
        terminal.write_line(f"... and {len(reds) - MOST_REDS} more; see the report", red=True)


def _short(reason: str) -> str:
    flat = " ".join(reason.split())
    return flat if len(flat) <= 240 else f"{flat[:237]}..."
