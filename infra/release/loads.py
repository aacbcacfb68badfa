"""Reads the result of a load and compares two: was the second as good as the first?"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.release.errors import CouldNotLook

# Declared margins. They are wide because two loads one after the other differ by more than two side by side: the
# paired verdict is what finds a slower version; this finds a broken or overloaded fleet.
ERRORS_MORE = 0.001  # share of requests
MEDIAN_RATIO = 2.0
MEDIAN_SLACK_MS = 25.0
MEDIAN_OF_AT_LEAST = 15  # requests of an endpoint in both loads; the median of fewer is chance


@dataclass(frozen=True)
class Load:
    """What one load measured. Rates are requests/s; `asked` requests, `p50` and `p95` milliseconds by endpoint;
    `missed` says in words which declared objectives were not met."""

    offered: float
    achieved: float
    requests: int
    errors: int
    asked: dict[str, int]
    p50: dict[str, float]
    p95: dict[str, float]
    missed: tuple[str, ...] = ()

    @property
    def error_ratio(self) -> float:
        """Errors as a share of requests."""
        return self.errors / self.requests if self.requests else 1.0

    def __str__(self) -> str:
        return (
            f"{self.achieved:.1f} good of {self.offered:.1f}/s · {self.errors} errors in {self.requests} · "
            f"search p95 {self.p95.get('search', 0):.0f} ms"
        )


def read(directory: Path) -> Load:
    """The load.json in a directory. Raises CouldNotLook when it is missing or the run was void."""
    path = directory / "load.json"
    try:
        body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if body.get("voided"):
            raise CouldNotLook(
                f"{path}: the load is void ({'; '.join(body['voided'])}); nothing can be said from it"
            )
        endpoints = body["endpoints"]
        return Load(
            offered=float(body["offered"]["rate"]),
            achieved=float(body["achieved"]["rate"]),
            requests=int(body["achieved"]["requests"]),
            errors=int(body["errors"]),
            asked={name: int(one["requests"]) for name, one in endpoints.items()},
            p50={name: float(one["p50_ms"]) for name, one in endpoints.items() if one["p50_ms"] is not None},
            p95={name: float(one["p95_ms"]) for name, one in endpoints.items() if one["p95_ms"] is not None},
            missed=tuple(body["missed"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as wrong:
        raise CouldNotLook(
            f"{path}: no load result that can be read ({type(wrong).__name__}: {wrong})"
        ) from wrong


def worse(after: Load, before: Load | None) -> list[str]:
    """In what `after` is worse than `before` (or than what is owed at all, when there is no before); empty: equal."""
    owed = before.error_ratio if before else 0.0
    found = []
    if after.error_ratio > owed + ERRORS_MORE:
        found.append(
            f"{after.errors} errors in {after.requests} requests ({after.error_ratio:.2%}; before {owed:.2%})"
        )
    for endpoint, median in sorted(after.p50.items()):
        was = before.p50.get(endpoint) if before else None
        asked = min(after.asked[endpoint], before.asked.get(endpoint, 0)) if before else 0
        if was is not None and asked >= MEDIAN_OF_AT_LEAST and median > was * MEDIAN_RATIO + MEDIAN_SLACK_MS:
            found.append(f"{endpoint}: median {median:.0f} ms, before {was:.0f} ms")
    if not (before and before.missed):  # an objective that was missed before is no fault of the candidate
        found += after.missed
    return found
