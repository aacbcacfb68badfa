"""Named loads: which profile of rates, which arrivals, which mix."""

# ruff: noqa: S311 (loads must be repeatable, not secret)

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from loadtests import operations, pacing
from loadtests.slo import Slo, SloError


@dataclass(frozen=True)
class Scenario:
    """One load: a profile of rates over time, how arrivals fall, and what is asked."""

    name: str
    profile: tuple[pacing.Segment, ...]
    arrivals: str
    mix: dict[str, int]

    @property
    def duration(self) -> float:
        """Seconds in which requests are planned."""
        return sum(segment.duration for segment in self.profile)

    def plan(self, seed: int) -> Iterator[tuple[float, str]]:
        """Planned moments (seconds from the start) with the endpoint due at each."""
        moments = pacing.arrivals(self.profile, self.arrivals, random.Random(f"arrivals-{seed}"))
        return zip(moments, operations.sequence(self.mix, random.Random(f"mix-{seed}")), strict=False)


def scenario(slo: Slo, name: str, rate: float | None = None, duration: float | None = None) -> Scenario:
    """The scenario of that name in slo.toml, at another rate (requests/s) or for another time (s) if given.

    Raises SloError for an unknown name, a rate or time that cannot be, or a mix with an endpoint that cannot be asked.
    """
    if name not in slo.scenarios:
        raise SloError(f"slo.toml: no scenario {name!r}; use one of {', '.join(slo.scenarios)}")
    unknown = sorted(set(slo.mix) - set(operations.known_endpoints()))
    if unknown:
        raise SloError(
            f"slo.toml: mix: {unknown[0]!r} cannot be asked; use {', '.join(operations.known_endpoints())}"
        )
    numbers = slo.scenarios[name]
    try:
        profile = pacing.steady(
            numbers.rate if rate is None else rate, numbers.duration_s if duration is None else duration
        )
    except ValueError as error:
        raise SloError(f"scenario {name}: {error}; give a rate and a duration above 0") from error
    return Scenario(name, profile, numbers.arrivals, dict(slo.mix))
