"""The verdict on a candidate: is it at most as dear and as faulty as the baseline that ran beside it?

    python -m loadtests.judge A.jsonl B.jsonl         A: baseline, B: candidate; exit 0 PASS, 1 FAIL, 3
    INCONCLUSIVE, 2 bad input

Each criterion makes two separate one-sided statements, so that neither silence nor noise can pass or refuse a
release: FAIL when it is all but certain that the candidate is worse than what is tolerated, PASS when it is all
but certain that it is not worse than the margin, INCONCLUSIVE when neither is proven: more pairs decide. All
numbers are in slo.toml.

- errors hard invariant: against the baseline (Fisher's exact test) and against an absolute bound (exact
  binomial test)
- counters SQL statements, Redis commands, bytes per request: nearly free of noise, so a small margin decides
  quickly
- cpu CPU-ms per request, paired log-ratios: the steadiest measure of speed on shared machines
- p50 medians of the slices, paired log-ratios; identical slices on shared cores differ by a factor of two, so where CPU
  was measured, p50 refuses what it proves worse and does not withhold what it cannot tell
- p95 pooled: more than 1 request in 20 beyond the objective, where the baseline keeps it
One FAIL refuses; else one INCONCLUSIVE, or too few pairs, withholds; what a file does not hold is named as not
looked at.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from loadtests.inference import binomial_more, bounds, fisher_more
from loadtests.slices import Slice, SliceError, read_slices
from loadtests.slo import SLO_FILE, Judge, Margins, SloError, load_slo

PASS, FAIL, INCONCLUSIVE, NOT_LOOKED_AT = "PASS", "FAIL", "INCONCLUSIVE", "NOT_LOOKED_AT"
EXIT = {PASS: 0, FAIL: 1, INCONCLUSIVE: 3}
EXIT_USAGE = 2
# A counter that the baseline never moved fails when more than one request in a hundred moves it: there is no margin
# relative to nothing.
COUNTER_FLOOR = 0.02
COUNTER_FAIL_ALPHA = 0.001
COUNTER_PASS_ALPHA = 0.05

Pair = tuple[Slice, Slice]


@dataclass(frozen=True)
class Criterion:
    """One thing looked at.

    `observed`, `lower` and `upper` are relative changes (0.25 = 25 % more) unless `unit` says otherwise.
    """

    name: str
    outcome: str
    sentence: str
    observed: float | None = None
    lower: float | None = None
    upper: float | None = None
    margin: float | None = None
    unit: str = "relative change"


@dataclass(frozen=True)
class Verdict:
    """The whole judgement."""

    verdict: str
    sentence: str
    pairs: int
    unpaired: int
    criteria: tuple[Criterion, ...] = field(default_factory=tuple)


def judge(baseline: Sequence[Slice], candidate: Sequence[Slice], numbers: Judge) -> Verdict:
    """The verdict on `candidate`'s slices against `baseline`'s. Deterministic: the seed is among the numbers."""
    by_pair = {found.pair: found for found in baseline}
    pairs = [(by_pair[found.pair], found) for found in candidate if found.pair in by_pair]
    criteria = (
        _errors(baseline, candidate, numbers),
        *_counters(pairs, numbers),
        _cpu(pairs, numbers),
        _p50(pairs, numbers),
        _p95(pairs, numbers),
    )
    unpaired = len(baseline) + len(candidate) - 2 * len(pairs)
    verdict, sentence = _conclusion(criteria, len(pairs), numbers)
    return Verdict(verdict, sentence, len(pairs), unpaired, criteria)


def _conclusion(criteria: Sequence[Criterion], pairs: int, numbers: Judge) -> tuple[str, str]:
    failed = [found for found in criteria if found.outcome == FAIL]
    if failed:
        return FAIL, "; ".join(found.sentence for found in failed)
    if pairs < numbers.min_pairs:
        return INCONCLUSIVE, f"{pairs} pairs of slices; at least {numbers.min_pairs} are needed"
    looked = [found.name for found in criteria if found.outcome == PASS]
    silent = ("p50",) if "cpu" in looked else ()
    unsure = [found for found in criteria if found.outcome == INCONCLUSIVE and found.name not in silent]
    if unsure:
        return INCONCLUSIVE, "; ".join(found.sentence for found in unsure)
    if not {"cpu", "p50"} & set(looked):
        return INCONCLUSIVE, "neither CPU nor latencies could be compared"
    return PASS, f"not worse than the baseline in {', '.join(looked)} over {pairs} pairs"


def _errors(baseline: Sequence[Slice], candidate: Sequence[Slice], numbers: Judge) -> Criterion:
    """Over all slices, unpaired ones too: a candidate that lost slices must not lose its errors with them."""
    counted = [found for found in candidate if found.errors is not None]
    base = [found for found in baseline if found.errors is not None]
    bad, sent = sum(found.errors or 0 for found in counted), sum(found.sent for found in counted)
    base_bad, base_sent = sum(found.errors or 0 for found in base), sum(found.sent for found in base)
    if sent == 0:
        return Criterion("errors", NOT_LOOKED_AT, "errors were not counted")
    bound = numbers.errors.max_rate
    alpha = numbers.errors.fail_alpha / numbers.looks
    rate = bad / sent
    said = f"{bad} of {sent} requests failed (baseline {base_bad} of {base_sent}; at most {bound:.2%})"
    worse = bad > 0 and base_sent > 0 and fisher_more(bad, sent, base_bad, base_sent) < alpha
    refused = worse or binomial_more(bad, sent, bound) < alpha
    outcome = FAIL if refused else PASS if rate <= bound else INCONCLUSIVE
    return Criterion("errors", outcome, said, rate, margin=bound, unit="share of requests")


def _counters(pairs: Sequence[Pair], numbers: Judge) -> list[Criterion]:
    names = sorted({name for pair in pairs for found in pair for name in found.counters or {}})
    return [_counter(name, pairs, numbers) for name in names]


def _counter(name: str, pairs: Sequence[Pair], numbers: Judge) -> Criterion:
    both = [
        (a.counters[name], b.counters[name])
        for a, b in pairs
        if a.counters and b.counters and name in a.counters and name in b.counters
    ]
    if not both:
        return Criterion(name, NOT_LOOKED_AT, f"{name}: only one side counted it")
    values = np.array(both)
    base, other = (float(mean) for mean in values.mean(axis=0))
    margin = numbers.counter_margin(name)
    allowed = max(margin * base, COUNTER_FLOOR)
    said = f"{name} per request {base:.3g} → {other:.3g} (at most +{allowed:.3g})"
    change = (other - base) / base if base > 0 else (math.inf if other > 0 else 0.0)
    if len(both) < numbers.min_pairs:
        return Criterion(name, INCONCLUSIVE, said, _finite(change), margin=margin)
    differences = values[:, 1] - values[:, 0]
    alphas = (COUNTER_FAIL_ALPHA / numbers.looks, COUNTER_PASS_ALPHA / numbers.looks)
    lower, upper = bounds(differences, *alphas, numbers.resamples, numbers.seed)
    # As for CPU: what is surely dearer by half the margin is refused, though it may not reach the margin itself.
    outcome = FAIL if lower > allowed / 2 else PASS if upper <= allowed else INCONCLUSIVE
    scale = base if base > 0 else 1.0
    return Criterion(name, outcome, said, _finite(change), lower / scale, upper / scale, margin)


def _cpu(pairs: Sequence[Pair], numbers: Judge) -> Criterion:
    return _ratio(
        "cpu", "CPU time per request", lambda found: found.cpu_ms_per_request, pairs, numbers.cpu, numbers
    )


def _p50(pairs: Sequence[Pair], numbers: Judge) -> Criterion:
    def median(found: Slice) -> float | None:
        return float(np.median(found.latencies_ms)) if found.latencies_ms else None

    return _ratio("p50", "median latency", median, pairs, numbers.p50, numbers)


def _ratio(
    name: str,
    what: str,
    value: Callable[[Slice], float | None],
    pairs: Sequence[Pair],
    margins: Margins,
    numbers: Judge,
) -> Criterion:
    """Paired log-ratios candidate/baseline: symmetric, and 'twice' weighs as much as 'half'."""
    measured = [(value(a), value(b)) for a, b in pairs]
    logs = np.array([math.log(b / a) for a, b in measured if a and b])
    if len(logs) == 0:
        return Criterion(name, NOT_LOOKED_AT, f"{what} was not measured on both sides")
    observed = math.expm1(float(logs.mean()))
    if len(logs) < numbers.min_pairs:
        said = (
            f"{what} {observed:+.1%} over {len(logs)} pairs, too few to tell (at least {numbers.min_pairs})"
        )
        return Criterion(name, INCONCLUSIVE, said, observed, margin=margins.margin)
    alphas = (margins.fail_alpha / numbers.looks, margins.pass_alpha / numbers.looks)
    lower, upper = (math.expm1(bound) for bound in bounds(logs, *alphas, numbers.resamples, numbers.seed))
    between = f"all but certainly between {lower:+.1%} and {upper:+.1%}"
    said = f"{what} {observed:+.1%}, {between} (margin {margins.margin:+.0%})"
    # Proven worse refuses even inside the margin's width: what is surely 5 % dearer is not "the same, within noise".
    outcome = FAIL if lower > margins.tolerance else PASS if upper < margins.margin else INCONCLUSIVE
    return Criterion(name, outcome, said, observed, lower, upper, margins.margin)


def _p95(pairs: Sequence[Pair], numbers: Judge) -> Criterion:
    """p95 above the objective is the same as more than 5 % of requests beyond it: a share can be resampled by
    slices."""
    objective = numbers.p95.objective_ms
    measured = [(a.latencies_ms, b.latencies_ms) for a, b in pairs if a.latencies_ms and b.latencies_ms]
    if not measured:
        return Criterion("p95", NOT_LOOKED_AT, "latencies were not measured on both sides")
    p95s = [
        float(np.percentile(np.concatenate([np.array(pair[side]) for pair in measured]), 95))
        for side in (0, 1)
    ]
    said = f"p95 of all slices {p95s[1]:.1f} ms (baseline {p95s[0]:.1f} ms, objective {objective:.0f} ms)"
    kept = Criterion("p95", PASS, said, p95s[1], margin=objective, unit="ms")
    if p95s[1] <= objective:
        return kept
    if p95s[0] > objective:
        # Both sides miss it: that is the machines' or the load's doing, and the load gate's to refuse.
        return Criterion(
            "p95", NOT_LOOKED_AT, f"{said}: both sides miss it", p95s[1], margin=objective, unit="ms"
        )
    beyond = np.array([(np.array(b) > objective).mean() for _, b in measured])
    if len(measured) < numbers.min_pairs:
        return Criterion("p95", INCONCLUSIVE, said, p95s[1], margin=objective, unit="ms")
    lower, _ = bounds(beyond, numbers.p95.fail_alpha / numbers.looks, 0.05, numbers.resamples, numbers.seed)
    return Criterion(
        "p95", FAIL if lower > 0.05 else INCONCLUSIVE, said, p95s[1], margin=objective, unit="ms"
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def as_document(verdict: Verdict) -> dict[str, object]:
    """The verdict as it is written to verdict.json."""
    return {"schema": 1, **asdict(verdict)}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="launchgate judge", description="Judges recorded slices of load.")
    parser.add_argument(
        "baseline", type=Path, metavar="A.jsonl", help="slices of the version that serves now"
    )
    parser.add_argument(
        "candidate", type=Path, metavar="B.jsonl", help="slices of the version to be released"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the verdict with its numbers as JSON")
    parser.add_argument(
        "--slo", type=Path, default=SLO_FILE, metavar="FILE", help="declared margins (default: slo.toml)"
    )
    options = parser.parse_args(arguments)
    try:
        numbers = load_slo(options.slo).judge
        verdict = judge(read_slices(options.baseline), read_slices(options.candidate), numbers)
        if options.out is not None:
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(as_document(verdict), indent=2) + "\n", encoding="utf-8")
    except (SliceError, SloError, OSError) as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    for found in verdict.criteria:
        print(f"{found.outcome:<14} {found.name:<15} {found.sentence}")
    print(f"{verdict.verdict}: {verdict.sentence}")
    return EXIT[verdict.verdict]


if __name__ == "__main__":
    sys.exit(main())
