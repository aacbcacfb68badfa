"""The statistics under the verdict: bounds by bootstrap on paired slices, exact tests on counts of errors.

Slices of a pair ran side by side on one computer, so what disturbed one disturbed the other: differences within
pairs are quiet where the slices themselves are not. The unit that is resampled is the pair, never the request:
requests of one slice share their disturbances and would pretend to know more than they do.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
_CHUNK = 4_000_000  # resampled values held at once: 32 MB


def bounds(
    values: Values, lower_alpha: float, upper_alpha: float, resamples: int, seed: int
) -> tuple[float, float]:
    """One-sided lower and upper bounds of the mean, by the studentised bootstrap with a fixed seed.

    Each bound is wrong with about its own alpha. Studentising keeps that true for ten or twenty skewed
    values, where the
    plain percentile bootstrap promises more than it holds. Needs two values or more.
    """
    mean = float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    if error <= 1e-12 * max(1.0, abs(mean)):
        return mean, mean
    studentised = _studentised(values, mean, resamples, np.random.default_rng(seed))
    # The bootstrap's own distribution is too short in the tails for few values: never be surer than Student's t.
    high = max(float(np.quantile(studentised, 1 - lower_alpha)), student_t(lower_alpha, len(values) - 1))
    low = min(float(np.quantile(studentised, upper_alpha)), -student_t(upper_alpha, len(values) - 1))
    return mean - high * error, mean - low * error


def _studentised(values: Values, mean: float, resamples: int, rng: np.random.Generator) -> Values:
    parts: list[Values] = []
    step = max(1, _CHUNK // len(values))
    for start in range(0, resamples, step):
        drawn = values[rng.integers(0, len(values), (min(step, resamples - start), len(values)))]
        spread = drawn.std(axis=1, ddof=1) / math.sqrt(len(values))
        # A resample of one repeated value has no spread: it says nothing about the tails.
        usable = spread > 0
        parts.append((drawn.mean(axis=1)[usable] - mean) / spread[usable])
    return np.concatenate(parts)


def student_t(alpha: float, freedom: int) -> float:
    """The value that Student's t with `freedom` degrees exceeds with probability alpha (0 < alpha < 0.5)."""
    low, high = 0.0, 1.0
    while _t_above(high, freedom) > alpha and high < 1e9:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_above(middle, freedom) > alpha else (low, middle)
    return high


def _t_above(value: float, freedom: int) -> float:
    """P(t > value), value ≥ 0, by the finite series for whole degrees of freedom (Abramowitz and Stegun 26.7.3-4)."""
    angle = math.atan(value / math.sqrt(freedom))
    odd = freedom % 2
    term, total = (math.cos(angle) if odd else 1.0), 0.0
    for step in range(1 + odd, freedom, 2):
        total += term
        term *= math.cos(angle) ** 2 * step / (step + 1)
    within = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return (1 - within) / 2


def fisher_more(errors: int, of: int, base_errors: int, base_of: int) -> float:
    """Chance of this many errors or more on this side, had both sides the same error rate (Fisher's exact,
    one-sided)."""
    total, bad = of + base_of, errors + base_errors
    top = min(bad, of)
    whole = _log_choose(total, bad)
    chances = (
        math.exp(_log_choose(of, k) + _log_choose(base_of, bad - k) - whole)
        for k in range(errors, top + 1)
        if bad - k <= base_of
    )
    return min(1.0, math.fsum(chances))


def binomial_more(errors: int, of: int, rate: float) -> float:
    """Chance of this many errors or more among `of` requests, were the true rate `rate`."""
    if errors <= 0:
        return 1.0
    fewer = (
        math.exp(_log_choose(of, k) + k * math.log(rate) + (of - k) * math.log1p(-rate))
        for k in range(errors)
    )
    return max(0.0, 1.0 - math.fsum(fewer))


def _log_choose(total: int, some: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(some + 1) - math.lgamma(total - some + 1)
