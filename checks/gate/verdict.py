"""From the runs of checks to the outcome of every item, and from those to whether the gate opens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from checks.catalogue import CatalogueItem
from checks.gate.evidence import Observation
from checks.gate.outcomes import OPENS_THE_GATE, RED, SEVERITY_ORDER, ExitCode, Outcome, worst
from checks.gate.waivers import Book, Entry

WAIVER_BUDGET = 5
NOT_IMPLEMENTED = "not implemented"


@dataclass(frozen=True)
class RunRecord:
    """One run of one check function on one host (or "control")."""

    node: str
    ids: tuple[str, ...]
    host: str
    outcome: Outcome
    reason: str
    seconds: float
    observations: tuple[Observation, ...] = ()
    blind: bool = False  # True: the gate itself was blinded (skip, deselection); no waiver covers that


@dataclass(frozen=True)
class ItemResult:
    """What the gate says about one item, with everything it rests on."""

    item: CatalogueItem
    outcome: Outcome
    measured: Outcome
    reason: str
    runs: tuple[RunRecord, ...]
    implemented: bool
    waiver: Entry | None = None
    attestation: Entry | None = None

    @property
    def hosts(self) -> tuple[str, ...]:
        """Where it was looked at, each once, in order."""
        return tuple(dict.fromkeys(run.host for run in self.runs))

    @property
    def seconds(self) -> float:
        """Time that its checks took together."""
        return sum(run.seconds for run in self.runs)


@dataclass
class GateResult:
    """The whole run: every item of the phase, problems that belong to no item, and the verdict."""

    phase: str
    inventory: str
    items: list[ItemResult]
    problems: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    allow_unimplemented: bool = False
    waiver_budget: int = WAIVER_BUDGET

    @property
    def totals(self) -> dict[str, int]:
        """How many items have each outcome; every outcome is named."""
        counted = Counter(one.outcome for one in self.items)
        return {outcome.value: counted[outcome] for outcome in Outcome}

    @property
    def unimplemented(self) -> list[ItemResult]:
        """Items that nothing checks yet."""
        return [one for one in self.items if not one.implemented]

    @property
    def red(self) -> list[ItemResult]:
        """Items that keep the gate closed, worst first; without those that the operator let through."""
        red = [one for one in self.items if one.outcome not in OPENS_THE_GATE]
        if self.allow_unimplemented:
            red = [one for one in red if one.implemented]
        return sorted(red, key=lambda one: SEVERITY_ORDER.index(one.outcome))

    @property
    def over_budget(self) -> bool:
        """Whether more items are waived than the inventory may waive."""
        return self.totals[Outcome.WAIVED] > self.waiver_budget

    @property
    def looked(self) -> bool:
        """Whether anything at all was looked at."""
        return any(one.runs for one in self.items)

    @property
    def exit_code(self) -> int:
        """0 open, 1 closed, 5 could not look; any ERROR makes it 5."""
        if self.problems or not self.looked or any(one.outcome is Outcome.ERROR for one in self.items):
            return ExitCode.COULD_NOT_LOOK
        return ExitCode.CLOSED if self.red or self.over_budget else ExitCode.OPEN

    @property
    def is_open(self) -> bool:
        """Whether the gate opens."""
        return self.exit_code == ExitCode.OPEN

    def closing_reasons(self) -> list[str]:
        """Every reason for a closed gate that is not an item's own."""
        reasons = list(self.problems)
        if not self.looked:
            reasons.append("nothing was looked at: no check of this selection ran")
        if self.over_budget:
            waived = self.totals[Outcome.WAIVED]
            reasons.append(f"{waived} items are waived, at most {self.waiver_budget} may be; cure some")
        return reasons


def judge(
    items: Iterable[CatalogueItem],
    runs: Iterable[RunRecord],
    declared_ids: set[str],
    blind: Mapping[str, str],
    book: Book,
) -> list[ItemResult]:
    """The result of every item.

    `declared_ids`: ids that a check in the source decides. `blind`: by id, why its checks did not all run.
    """
    by_id: dict[str, list[RunRecord]] = {}
    for run in runs:
        for one in run.ids:
            by_id.setdefault(one, []).append(run)
    return [
        _judge_item(one, tuple(by_id.get(one.id, ())), one.id in declared_ids, blind.get(one.id), book)
        for one in items
    ]


def _judge_item(
    item: CatalogueItem, runs: tuple[RunRecord, ...], implemented: bool, blind: str | None, book: Book
) -> ItemResult:
    measured, reason = _measure(runs, implemented, blind)
    waivable = blind is None and not any(run.blind for run in runs)
    waiver, attestation = book.waivers.get(item.id), book.attestations.get(item.id)
    outcome = measured
    if measured is Outcome.NOT_REVIEWED and attestation:
        outcome = Outcome.ATTESTED
        reason = attestation.told()
    elif measured in RED and waivable and waiver and measured.value in waiver.covers:
        outcome = Outcome.WAIVED
    return ItemResult(
        item,
        outcome,
        measured,
        reason,
        runs,
        implemented,
        waiver=waiver,
        attestation=attestation,
    )


def _measure(runs: tuple[RunRecord, ...], implemented: bool, blind: str | None) -> tuple[Outcome, str]:
    if blind is not None:
        return Outcome.ERROR, blind
    if not implemented:
        return Outcome.FAIL, NOT_IMPLEMENTED
    if not runs:
        return Outcome.ERROR, "its checks did not run"
    outcome = worst([run.outcome for run in runs])
    if outcome is Outcome.PASS:
        return outcome, ""
    return outcome, _told([run for run in runs if run.outcome is outcome])


def _told(runs: list[RunRecord]) -> str:
    """The reasons of several runs, hosts with the same reason together."""
    hosts: dict[str, list[str]] = {}
    for run in runs:
        hosts.setdefault(run.reason, []).append(run.host)
    return " · ".join(f"{', '.join(dict.fromkeys(names))}: {reason}" for reason, names in hosts.items())
