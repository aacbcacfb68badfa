"""What the end of one check run means. Only a run that compared something and found it right is a PASS."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.gate.errors import CouldNotLook, NotApplicable, NotReviewed
from checks.gate.evidence import Evidence
from checks.gate.outcomes import Outcome

Judgement = tuple[Outcome, str, bool]  # outcome, reason, whether the gate itself was blinded


def classify(raised: BaseException | None, when: str, evidence: Evidence | None) -> Judgement:
    """Judge one phase (`when`: setup, call, teardown) of one run by what it raised."""
    if raised is None:
        return _judge_silence(evidence)
    if isinstance(raised, CouldNotLook):
        return Outcome.ERROR, f"could not look: {raised}", False
    if isinstance(raised, NotApplicable):
        return _judge_not_applicable(raised)
    if isinstance(raised, NotReviewed):
        return Outcome.NOT_REVIEWED, str(raised), False
    if isinstance(raised, pytest.skip.Exception):
        return Outcome.ERROR, f"skipped ({raised}); a skip is not a look", True
    if isinstance(raised, pytest.xfail.Exception):
        return Outcome.ERROR, f"expected to fail ({raised}); that excuses nothing", True
    if isinstance(raised, pytest.fail.Exception):
        if str(raised).startswith("Timeout"):
            return Outcome.ERROR, f"could not look: the check took too long ({raised})", False
        return Outcome.FAIL, str(raised), False
    if isinstance(raised, AssertionError) and when == "call":
        return Outcome.FAIL, _first_lines(raised), False
    return Outcome.ERROR, f"the check itself broke: {_described(raised)}", True


def _judge_silence(evidence: Evidence | None) -> Judgement:
    if evidence is None or not evidence.judged:
        return Outcome.ERROR, "recorded no evidence: a check that compared nothing has not looked", True
    if any(one.holds is False for one in evidence.observations):
        return Outcome.FAIL, "an expectation did not hold and the check went on", False
    return Outcome.PASS, "", False


def _judge_not_applicable(raised: NotApplicable) -> Judgement:
    if not raised.observed.strip():
        return Outcome.ERROR, f"not applicable without an observation ({raised.predicate})", True
    return Outcome.NOT_APPLICABLE, f"not applicable: {raised}", False


def _first_lines(raised: BaseException) -> str:
    text = str(raised).strip() or "an assertion without a message did not hold"
    return "\n".join(text.splitlines()[:6])


def _described(raised: BaseException) -> str:
    place = ""
    trace = raised.__traceback__
    while trace is not None:
        name = Path(trace.tb_frame.f_code.co_filename).name
        if name.startswith(("check_", "conftest")) or not place:
            place = f"{name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(raised).__name__}: {_first_lines(raised)} (at {place})"
