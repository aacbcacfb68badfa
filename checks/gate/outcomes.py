"""The outcomes of an item, their order, and what each means for the gate."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """What the gate says about an item."""

    PASS = "PASS"  # noqa: S105 - an outcome, not a password
    FAIL = "FAIL"
    ERROR = "ERROR"
    NOT_APPLICABLE = "NOT_APPLICABLE"
    NOT_REVIEWED = "NOT_REVIEWED"
    ATTESTED = "ATTESTED"
    WAIVED = "WAIVED"


class ExitCode:
    """Exit codes of `pytest checks`, the same as everywhere in this product.

    An ERROR anywhere wins over a FAIL: a run that could not look has not judged what it did see in full.
    """

    OPEN = 0
    CLOSED = 1
    USAGE = 2
    COULD_NOT_LOOK = 5


# Worst first: the outcome of an item is the worst of its runs.
SEVERITY_ORDER = (
    Outcome.ERROR,
    Outcome.FAIL,
    Outcome.NOT_REVIEWED,
    Outcome.WAIVED,
    Outcome.ATTESTED,
    Outcome.PASS,
    Outcome.NOT_APPLICABLE,
)
OPENS_THE_GATE = frozenset({Outcome.PASS, Outcome.NOT_APPLICABLE, Outcome.ATTESTED, Outcome.WAIVED})
RED = frozenset({Outcome.FAIL, Outcome.ERROR, Outcome.NOT_REVIEWED})


def worst(outcomes: list[Outcome]) -> Outcome:
    """The worst of several outcomes; ERROR of none at all, for nothing was looked at."""
    if not outcomes:
        return Outcome.ERROR
    return min(outcomes, key=SEVERITY_ORDER.index)
