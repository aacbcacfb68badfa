"""What was asked of the conductor, and how a release can end."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from infra.release.artifact import Artifact
from infra.release.state import Known
from infra.release.verdict import Buying

Ending = Literal[
    "released",
    "rolled back",
    "not back",
    "gate closed",
    "first failed",
    "could not look",
    "interrupted",
    "failed",
]
EXIT_CODES: Mapping[Ending, int] = {
    "released": 0,
    "gate closed": 1,
    "first failed": 1,
    "failed": 1,
    "interrupted": 1,
    "rolled back": 4,
    "not back": 5,
    "could not look": 5,
}


@dataclass(frozen=True)
class LoadWish:
    """The load before and after: an open model through the edge."""

    scenario: str = "average"
    rate: float = 40.0
    seconds: float = 8.0


@dataclass(frozen=True)
class Order:
    """One release as asked for. `version` None: the one that the source names."""

    source: Path
    dist: Path
    version: str | None = None
    out: Path | None = None
    allow_unimplemented: bool = False
    load: LoadWish = field(default_factory=LoadWish)
    buying: Buying = field(default_factory=Buying)


@dataclass(frozen=True)
class Outcome:
    """How a release ended. `current` is what the fleet serves and has on record afterwards."""

    ending: Ending
    reason: str
    candidate: Artifact
    came_from: Known | None
    current: Known | None
    record: Path
    facts: dict[str, str]

    @property
    def exit_code(self) -> int:
        """What the command exits with."""
        return EXIT_CODES[self.ending]

    def as_json(self) -> dict[str, object]:
        """For the record."""
        return {
            "ending": self.ending,
            "exit_code": self.exit_code,
            "reason": self.reason,
            "candidate": self.candidate.as_json(),
            "came_from": asdict(self.came_from) if self.came_from else None,
            "current": asdict(self.current) if self.current else None,
            "facts": self.facts,
        }
