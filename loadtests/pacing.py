"""When requests are due: arrivals on a schedule that never waits for the server (an open model).

A closed loop sends its next request only after the last answer, so a server that stalls is asked less and looks
fast. Here each arrival has a planned moment, decided beforehand, and response times count from that moment.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ARRIVALS = ("constant", "poisson")


@dataclass(frozen=True)
class Segment:
    """A stretch of time in which the rate goes in a straight line from one value to another.

    `duration` in seconds, rates in requests per second. Raises ValueError for values that cannot be.
    """

    duration: float
    start_rate: float
    end_rate: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.duration) and self.duration > 0):
            raise ValueError(f"a segment's duration must be above 0 s, not {self.duration}")
        for rate in (self.start_rate, self.end_rate):
            if not (math.isfinite(rate) and rate >= 0):
                raise ValueError(f"a rate must be 0 or more requests/s, not {rate}")
        if self.start_rate + self.end_rate <= 0:
            raise ValueError("a segment in which the rate stays 0 asks for nothing")

    @property
    def volume(self) -> float:
        """Expected requests in the whole segment."""
        return self.duration * (self.start_rate + self.end_rate) / 2

    def moment(self, volume: float) -> float:
        """Seconds after the segment's start at which `volume` requests are due."""
        slope = (self.end_rate - self.start_rate) / self.duration
        # The root of slope/2·t² + start·t = volume, in the form that stays exact when the slope is nearly 0.
        root = math.sqrt(max(self.start_rate**2 + 2 * slope * volume, 0.0))
        return min(2 * volume / (self.start_rate + root), self.duration) if volume > 0 else 0.0


def steady(rate: float, duration: float) -> tuple[Segment, ...]:
    """One rate (requests/s) for `duration` seconds."""
    return (Segment(duration, rate, rate),)


def ramp(start_rate: float, end_rate: float, duration: float) -> tuple[Segment, ...]:
    """From one rate to another in a straight line."""
    return (Segment(duration, start_rate, end_rate),)


def spike(
    base_rate: float, peak_rate: float, before: float, peak: float, after: float
) -> tuple[Segment, ...]:
    """A base rate, a sudden peak, and the base rate again; times in seconds."""
    return (*steady(base_rate, before), *steady(peak_rate, peak), *steady(base_rate, after))


def expected(profile: Sequence[Segment]) -> float:
    """Expected number of requests of a profile."""
    return sum(segment.volume for segment in profile)


def arrivals(profile: Sequence[Segment], kind: str, rng: random.Random) -> Iterator[float]:
    """Planned moments in seconds from the start, rising.

    "constant": evenly spaced at the rate of the moment, the first half an interval in. "poisson": as independent users
    arrive, in bursts and gaps, with the profile's rate on average; `rng` decides. Raises ValueError for another kind.
    """
    if kind == "constant":
        volumes: Iterator[float] = (number + 0.5 for number in itertools.count())
    elif kind == "poisson":
        volumes = itertools.accumulate(rng.expovariate(1.0) for _ in itertools.count())
    else:
        raise ValueError(f"arrivals {kind!r} are unknown: use one of {', '.join(ARRIVALS)}")
    return _moments(profile, volumes)


def _moments(profile: Sequence[Segment], volumes: Iterator[float]) -> Iterator[float]:
    """Unit-rate arrivals, stretched so that they come at the profile's rate."""
    started, done = 0.0, 0.0
    volume = next(volumes)
    for segment in profile:
        while volume < done + segment.volume:
            yield started + segment.moment(volume - done)
            volume = next(volumes)
        started, done = started + segment.duration, done + segment.volume
