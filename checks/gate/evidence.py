"""What a check looked at, what it saw, and what it wanted to see."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_TEXT = 1500


@dataclass(frozen=True)
class Observation:
    """One look: where (`host`), at what, what was seen, what was wanted; `holds` is None for a mere note."""

    host: str
    looked_at: str
    observed: str
    expected: str
    holds: bool | None


class Evidence:
    """The record of one run of one check. A run that judges nothing is not a pass but an ERROR."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.observations: list[Observation] = []

    def expect(self, *, looked_at: str, observed: object, expected: object) -> None:
        """Record, and raise AssertionError (outcome FAIL) unless `observed == expected`."""
        self.that(bool(observed == expected), looked_at=looked_at, observed=observed, expected=expected)

    def that(self, condition: bool, *, looked_at: str, observed: object, expected: object) -> None:
        """Record, and raise AssertionError (outcome FAIL) unless `condition` holds."""
        seen = Observation(self.host, looked_at, _shown(observed), _shown(expected), bool(condition))
        self.observations.append(seen)
        if not condition:
            raise AssertionError(f"{looked_at}: saw {seen.observed}; wanted {seen.expected}")

    def note(self, *, looked_at: str, observed: object) -> None:
        """Record something worth reading in the report without judging it."""
        self.observations.append(Observation(self.host, looked_at, _shown(observed), "", None))

    @property
    def judged(self) -> bool:
        """Whether anything was compared with an expectation."""
        return any(one.holds is not None for one in self.observations)


def _shown(value: object) -> str:
    text = value.strip() if isinstance(value, str) else repr(value)
    text = text or "(empty)"
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}… ({len(text)} characters)"
