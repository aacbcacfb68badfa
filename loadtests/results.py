"""What a run says: per endpoint and over time, held against the declared objectives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from loadtests.samples import Audit, Record, Sample, percentile
from loadtests.scenarios import Scenario
from loadtests.slo import Slo

MET, MISSED, VOID = "met", "missed", "void"


def summarise(record: Record, scenario: Scenario, slo: Slo, target: str) -> dict[str, Any]:
    """load.json.

    `outcome` is "met", "missed" (`missed` says what) or "void" (`voided` says why): a void run proves
    nothing.
    """
    voided = _voided(record, slo)
    endpoints = {name: _endpoint([s for s in record.samples if s.endpoint == name]) for name in scenario.mix}
    missed = [fault for name, numbers in endpoints.items() for fault in _missed(name, numbers, slo)]
    planned = record.audit.planned if record.audit else 0
    return {
        "schema": 1,
        "scenario": scenario.name,
        "target": target,
        "arrivals": scenario.arrivals,
        "model": "open",
        "duration_s": scenario.duration,
        "offered": {"requests": planned, "rate": round(planned / scenario.duration, 3)},
        "achieved": _achieved(record.samples, scenario.duration),
        "errors": sum(1 for sample in record.samples if sample.error),
        "errors_by_kind": dict(Counter(sample.error for sample in record.samples if sample.error)),
        "overall": _endpoint(record.samples),
        "endpoints": endpoints,
        "objectives": {name: slo.objectives[name].model_dump() for name in scenario.mix},
        "missed": missed,
        "voided": voided or None,
        "generator": _generator(record.audit),
        "outcome": VOID if voided else MISSED if missed else MET,
    }


def _voided(record: Record, slo: Slo) -> list[str]:
    if record.audit is None:
        return [record.trouble or "the generator left no audit"]
    limits = slo.generator
    return record.audit.faults(limits.max_cpu_share, limits.max_lag_p99_ms, limits.min_achieved_ratio)


def _achieved(samples: Sequence[Sample], duration: float) -> dict[str, float]:
    good = sum(1 for sample in samples if sample.error is None)
    return {"requests": len(samples), "good": good, "rate": round(good / duration, 3)}


def _endpoint(samples: Sequence[Sample]) -> dict[str, Any]:
    times = [sample.response_ms for sample in samples]
    return {
        "requests": len(samples),
        "errors": sum(1 for sample in samples if sample.error),
        "mean_bytes": round(sum(sample.size for sample in samples) / len(samples), 1) if samples else None,
        **{
            f"{name}_ms": None if (found := percentile(times, share)) is None else round(found, 3)
            for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
        },
    }


def _missed(name: str, numbers: dict[str, Any], slo: Slo) -> list[str]:
    objective = slo.objectives[name]
    if numbers["requests"] == 0:
        return [f"{name}: not measured; no number, no pass"]
    faults = []
    for key, limit in (("p95_ms", objective.p95_ms), ("p99_ms", objective.p99_ms)):
        if numbers[key] > limit:
            faults.append(
                f"{name}: {key.removesuffix('_ms')} {numbers[key]:.1f} ms (objective {limit:.0f} ms)"
            )
    rate = numbers["errors"] / numbers["requests"]
    if rate > objective.max_error_rate:
        faults.append(
            f"{name}: {numbers['errors']} of {numbers['requests']} failed ({rate:.2%}, "
            f"objective {objective.max_error_rate:.2%})"
        )
    return faults


def _generator(audit: Audit | None) -> dict[str, Any] | None:
    if audit is None:
        return None
    return asdict(audit) | {
        "cpu_share": audit.cpu_share,
        "achieved_ratio": (audit.sent / audit.planned) if audit.planned else None,
    }


def sentence(summary: dict[str, Any]) -> str:
    """The run in one line."""
    overall = summary["overall"]
    told = (
        f"{summary['scenario']} on {summary['target']}: {summary['achieved']['requests']} of "
        f"{summary['offered']['requests']} requests, {summary['errors']} errors"
    )
    if overall["p50_ms"] is not None:
        told += f", p50 {overall['p50_ms']:.1f} ms, p95 {overall['p95_ms']:.1f} ms, p99 {overall['p99_ms']:.1f} ms"
    if summary["outcome"] == VOID:
        return f"{told}. VOID: {'; '.join(summary['voided'])}"
    if summary["outcome"] == MISSED:
        return f"{told}. Objectives MISSED: {'; '.join(summary['missed'])}"
    return f"{told}. Objectives met."
