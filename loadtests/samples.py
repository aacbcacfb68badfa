"""The raw record of a run: one line a request, none rounded or averaged away, and the generator's audit of itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True, slots=True)
class Sample:
    """One request; times in seconds from the run's start. `error` is None when the answer was whole and right."""

    planned: float
    sent: float
    done: float
    endpoint: str
    status: int
    error: str | None
    size: int

    @property
    def response_ms(self) -> float:
        """From the planned moment: what a user waits."""
        return (self.done - self.planned) * 1000


@dataclass(frozen=True)
class Audit:
    """What the generator says of itself at the end of a run.

    Lag is planned → dispatched, the server having no part in it.
    """

    planned: int
    sent: int
    unsent_busy: int
    cpu_seconds: float
    wall_seconds: float
    lag_p99_ms: float
    lag_max_ms: float
    users: int

    @property
    def cpu_share(self) -> float:
        """Of one core; a run of no length counts as one that had none to spare."""
        return self.cpu_seconds / self.wall_seconds if self.wall_seconds > 0 else 1.0

    def faults(self, max_cpu_share: float, max_lag_p99_ms: float, min_achieved_ratio: float) -> list[str]:
        """Why this run says more about the generator than about the server; empty when it was sound.

        Requests that stayed unsent because every user was still waiting for the server are the server's (they count as
        errors), so only the others speak against the generator.
        """
        found = []
        if self.cpu_share > max_cpu_share:
            found.append(
                f"the generator used {self.cpu_share:.2f} of a core (at most {max_cpu_share:.2f}): "
                "spread it over more processes"
            )
        if self.lag_p99_ms > max_lag_p99_ms:
            found.append(
                f"1 request in 100 was dispatched {self.lag_p99_ms:.1f} ms late or more "
                f"(at most {max_lag_p99_ms:.1f} ms): "
                "give the generator an idle core"
            )
        reached = self.sent + self.unsent_busy
        if self.planned == 0:
            found.append("no request was planned: raise the rate or the duration")
        elif reached / self.planned < min_achieved_ratio:
            found.append(
                f"only {reached} of {self.planned} planned requests were dispatched (at least {min_achieved_ratio:.0%})"
            )
        return found


@dataclass
class Record:
    """A run as read back."""

    samples: list[Sample] = field(default_factory=list)
    audit: Audit | None = None
    trouble: str | None = None


class Writer:
    """Appends samples to a file; the last line is the audit, and a file without one is of a run that broke off."""

    def __init__(self, path: Path) -> None:
        self._file: IO[str] = path.open("w", encoding="utf-8")

    def add(self, samples: Iterable[Sample]) -> None:
        """Writes and flushes, so that a reader can follow."""
        for sample in samples:
            row = [sample.planned, sample.sent, sample.done]
            self._file.write(
                json.dumps(
                    [*(round(t, 6) for t in row), sample.endpoint, sample.status, sample.error, sample.size]
                )
                + "\n"
            )
        self._file.flush()

    def close(self, audit: Audit) -> None:
        """Writes the last line."""
        self._file.write(json.dumps({"audit": asdict(audit)}) + "\n")
        self._file.close()


def read(path: Path) -> Record:
    """Reads a record. One that broke off has no audit, and `trouble` says so."""
    record = Record()
    if not path.is_file():
        record.trouble = "the generator wrote nothing"
        return record
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if not line.endswith("\n"):
                break
            value: Any = json.loads(line)
            if isinstance(value, dict):
                record.audit = Audit(**value["audit"])
            else:
                record.samples.append(Sample(*value))
    if record.audit is None:
        record.trouble = "the generator broke off before its last line"
    return record


def percentile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile (share 0..1) of the values themselves; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[
        max(0, min(len(ordered) - 1, -(-round(share * 1_000_000) * len(ordered) // 1_000_000) - 1))
    ]
