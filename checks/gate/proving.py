"""Proves that checks notice: green, break, seen to have landed, red set compared, undo, green again."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from checks.gate.declare import BreakDeclaration
from checks.gate.errors import CouldNotLook, DidNotApply
from checks.gate.outcomes import Outcome
from checks.gate.snapshots import Snapshots
from checks.gate.verdict import ItemResult
from checks.gate.workbench import Workbench

GREEN = frozenset({Outcome.PASS, Outcome.NOT_APPLICABLE})
State = dict[str, ItemResult]  # by item id
SETTLE_ATTEMPTS = 4
SETTLE_PAUSE_S = 1.5


class Verdict(StrEnum):
    """What one break has shown."""

    KILLED = "KILLED"  # the check noticed, and nothing else that was not declared
    SURVIVED = "SURVIVED"  # the break was in force and the check stayed green
    DID_NOT_APPLY = "DID_NOT_APPLY"  # the break was not in force
    VOID = "VOID"  # not green before, could not look, or not green after: says nothing
    MIS_SCOPED = "MIS_SCOPED"  # another red set, or another reason, than declared
    GREEN = "GREEN"  # compliant variant: stayed green
    RED = "RED"  # compliant variant: went red


@dataclass
class Proof:
    """The outcome of one sabotage or compliant variant."""

    declared: BreakDeclaration
    host: str
    verdict: Verdict = Verdict.VOID
    reason: str = ""
    went_red: list[str] = field(default_factory=list)
    expected_red: list[str] = field(default_factory=list)
    restored_by: str = "undo"
    seconds: float = 0.0


@dataclass
class Prover:
    """Runs breaks one after the other on one fleet, and leaves it as it was."""

    bench: Workbench
    snapshots: Snapshots
    ids: list[str]
    narrow: bool = False
    tell: Callable[[str], None] = print
    state: State = field(default_factory=dict)

    def look(self, ids: list[str]) -> State:
        """Run the checks of these items; the result by id."""
        return {one.item.id: one for one in self.bench.run_checks(ids).items}

    def begin(self) -> None:
        """See which items are green before anything is broken, and take the snapshot."""
        self.snapshots.take()
        self.tell(self.snapshots.told)
        self.state = self.look(self.ids)

    def prove(self, declared: BreakDeclaration) -> Proof:
        """Prove one break. The fleet is green again afterwards, or the proof is VOID."""
        started = time.monotonic()
        proof = Proof(declared, declared.on or "control")
        before = self.state.get(declared.item)
        if before is None:
            proof.reason = "no check"
        elif not declared.own_ground and before.measured is not Outcome.PASS:
            proof.reason = f"not green before: {before.reason}"
        else:
            self._break_and_undo(declared, proof)
        proof.seconds = round(time.monotonic() - started, 2)
        return proof

    def _break_and_undo(self, declared: BreakDeclaration, proof: Proof) -> None:
        """Break, judge the red set, undo whatever happens, and see green again."""
        touched = {declared.item, *declared.also_red}
        running: Iterator[None] | None = None
        try:
            running = self._start(declared, proof)
            before = self._lay_ground(declared, running, proof) if running else None
            if before is not None:
                seen = self.look(self._scope(declared))
                proof.expected_red = self._expected(declared, before)
                proof.went_red = self._confirmed_red(seen, before, set(declared.may_also_red) | touched)
                touched |= set(proof.went_red)
                _judge(proof, seen)
        except CouldNotLook as blind:
            proof.verdict, proof.reason = Verdict.VOID, f"could not look under the break: {blind}"
        finally:
            self._undo(running, proof)
            self.bench.withdraw()
            self._see_green_again(sorted(touched), proof)

    def _start(self, declared: BreakDeclaration, proof: Proof) -> Iterator[None] | None:
        """Run the break up to its yield; None when it is not in force."""
        try:
            running = declared.apply(**self._offered(declared, proof))
        except (TypeError, CouldNotLook) as fault:
            proof.verdict, proof.reason = Verdict.DID_NOT_APPLY, f"{type(fault).__name__}: {fault}"
            return None
        return running if self._advance(running, proof) else None

    def _advance(self, running: Iterator[None], proof: Proof) -> bool:
        """Run a sabotage to its next yield. Whether it got there."""
        try:
            next(running)
        except StopIteration:
            proof.verdict, proof.reason = Verdict.DID_NOT_APPLY, "it never yielded"
        except DidNotApply as unmoved:
            proof.verdict, proof.reason = Verdict.DID_NOT_APPLY, str(unmoved)
        except Exception as fault:
            # A sabotage is somebody's code and may stumble in any way; then its break is not in force.
            proof.verdict, proof.reason = Verdict.DID_NOT_APPLY, f"{type(fault).__name__}: {fault}"
        else:
            return True
        return False

    def _lay_ground(self, declared: BreakDeclaration, running: Iterator[None], proof: Proof) -> State | None:
        """What is green before the break. With ground of its own, see that it is green, then break."""
        if not declared.own_ground:
            return self.state
        before = self.look(self._scope(declared))
        if before[declared.item].measured is not Outcome.PASS:
            proof.reason = f"its own ground is not green: {before[declared.item].reason}"
            return None
        return before if self._advance(running, proof) else None

    def _offered(self, declared: BreakDeclaration, proof: Proof) -> dict[str, Any]:
        """The arguments that the sabotage takes, by name."""
        wanted = inspect.signature(declared.apply).parameters
        offered: dict[str, Any] = {
            "inventory": self.bench.inventory,
            "bench": self.bench,
            "fleet": self.bench.fleet,
        }
        if "edge" in wanted:
            offered["edge"] = self.bench.fleet.edge()
        if declared.on is not None:
            machine = self.bench.fleet.target(declared.on)
            offered["machine"], proof.host = machine, machine.name
        if unknown := [name for name in wanted if name not in offered]:
            raise TypeError(f"takes {', '.join(unknown)}; a sabotage may take {', '.join(offered)}, edge")
        return {name: offered[name] for name in wanted}

    def _scope(self, declared: BreakDeclaration) -> list[str]:
        if declared.on is None and self._looks_at_source(declared.item):
            # No machine is touched, so none needs to be looked at.
            return [one for one in self.ids if self._looks_at_source(one)]
        if not self.narrow:
            return self.ids
        mine = (declared.item, *declared.also_red, *declared.may_also_red)
        return [one for one in self.ids if one in mine]

    def _looks_at_source(self, item: str) -> bool:
        return self.state[item].item.scope == ("source",)

    def _expected(self, declared: BreakDeclaration, before: State) -> list[str]:
        """Declared red set, without items that nothing checks or that were red already."""
        if declared.compliant:
            return []
        green = {one for one, seen in before.items() if seen.measured in GREEN}
        return sorted({declared.item, *(one for one in declared.also_red if one in green)})

    def _confirmed_red(self, seen: State, before: State, declared: set[str]) -> list[str]:
        """Items that were green and are not; an undeclared one must be red twice, for machines are busy."""
        red = _newly_red(seen, before)
        surprises = sorted(red - declared)
        if surprises:
            again = _newly_red(self.look(surprises), before)
            red -= set(surprises) - again
        return sorted(red)

    def _undo(self, running: Iterator[None] | None, proof: Proof) -> None:
        if running is None:
            return
        try:
            next(running)
        except StopIteration:
            return
        except Exception as fault:
            # Told and mended below: what counts is whether green comes back.
            proof.reason += f" (undo failed: {type(fault).__name__}: {fault})"
            return
        proof.reason += " (the sabotage yields twice)"

    def _see_green_again(self, touched: list[str], proof: Proof) -> None:
        wanted = [one for one in touched if one in self.state and self.state[one].measured in GREEN]
        if self._settles(wanted):
            return
        proof.restored_by = "snapshot"
        if self.snapshots.restore() and self._settles(wanted):
            return
        proof.restored_by = "nothing"
        proof.verdict = Verdict.VOID
        proof.reason += f" · not green after: {self._still_red(wanted)} ({self.snapshots.told})"
        self.state.update(self.look(self.ids))

    def _settles(self, wanted: list[str]) -> bool:
        for attempt in range(SETTLE_ATTEMPTS):
            if attempt:
                time.sleep(SETTLE_PAUSE_S)
            try:
                if not self._still_red(wanted):
                    return True
            except CouldNotLook:
                continue
        return False

    def _still_red(self, wanted: list[str]) -> str:
        if not wanted:
            return ""
        red = [one for one in self.look(wanted).values() if one.measured not in GREEN]
        return "; ".join(f"{one.item.id} {one.measured}: {one.reason}" for one in red)


def _newly_red(seen: State, before: State) -> set[str]:
    return {
        one
        for one, result in seen.items()
        if result.measured not in GREEN and one in before and before[one].measured in GREEN
    }


def _judge(proof: Proof, seen: State) -> None:
    declared, own = proof.declared, seen[proof.declared.item]
    if declared.compliant:
        stayed = own.measured is Outcome.PASS and not proof.went_red
        proof.verdict = Verdict.GREEN if stayed else Verdict.RED
        proof.reason = "" if stayed else f"{own.measured}: {own.reason} {proof.went_red}"
    elif own.measured in GREEN:
        proof.verdict = Verdict.SURVIVED
        proof.reason = f"{declared.item} is still {own.measured} although the break is in force"
    elif own.measured.value != declared.expects:
        proof.verdict = Verdict.VOID
        proof.reason = f"{own.measured} instead of {declared.expects}: {own.reason}"
    elif declared.reason and not re.search(declared.reason, own.reason, re.IGNORECASE):
        proof.verdict = Verdict.MIS_SCOPED
        proof.reason = f"red for another reason than {declared.reason!r}: {own.reason}"
    else:
        _judge_red_set(proof, own)


def _judge_red_set(proof: Proof, own: ItemResult) -> None:
    extra = sorted(set(proof.went_red) - set(proof.expected_red) - set(proof.declared.may_also_red))
    missing = sorted(set(proof.expected_red) - set(proof.went_red))
    if extra or missing:
        proof.verdict = Verdict.MIS_SCOPED
        told = [f"red but not declared: {', '.join(extra)}"] if extra else []
        told += [f"declared but not red: {', '.join(missing)}"] if missing else []
        proof.reason = "; ".join(told)
    else:
        proof.verdict, proof.reason = Verdict.KILLED, own.reason
