"""What the fleet itself knows of its releases: the current one, the one before, and an unfinished one."""

import json
import shlex
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from infra.release.artifact import Artifact
from infra.release.errors import CouldNotLook
from infra.release.transport import Transport

SCHEMA = 1
Stage = Literal["begun", "switching", "proven", "undoing"]


@dataclass(frozen=True)
class Known:
    """A release that the fleet knows. `release` is the name it is installed under on the app hosts."""

    release: str
    version: str
    commit: str = ""
    tree: str = ""
    digest: str = ""
    since: str = ""

    @classmethod
    def of(cls, artifact: Artifact) -> "Known":
        """The same facts of an artifact."""
        return cls(artifact.release, artifact.version, artifact.commit, artifact.tree, artifact.digest)


@dataclass(frozen=True)
class Unfinished:
    """A release that has begun. `stage` says how far it may have come: "begun" (no host switched yet),
    "switching" (any host may be), "proven" (all are, and all proof passed), "undoing"."""

    candidate: Known
    stage: Stage
    record: str
    by: str
    since: str


@dataclass(frozen=True)
class FleetState:
    """`known` is False when no release was ever recorded here."""

    current: Known | None = None
    previous: Known | None = None
    unfinished: Unfinished | None = None
    known: bool = field(default=True, compare=False)

    def finished_with(self, release: Known) -> "FleetState":
        """The state after `release` became the current one."""
        now = replace(release, since=datetime.now(UTC).isoformat(timespec="seconds"))
        same = self.current is not None and self.current.release == release.release
        return FleetState(current=now, previous=self.previous if same else self.current)


class StateKeeper:
    """Reads and writes state.json, in one atomic and durable step, on the machine that keeps the lock."""

    def __init__(self, keeper: Transport, directory: str) -> None:
        self._keeper = keeper
        self._path = f"{directory}/state.json"

    def read(self) -> FleetState:
        """The state now. Raises CouldNotLook when the file is there but unreadable."""
        quoted = shlex.quote(self._path)
        answer = self._keeper.run(f"[ ! -e {quoted} ] || cat {quoted}", sudo=True)
        if answer.rc:
            raise CouldNotLook(
                f"{self._keeper.name}: cannot read {self._path}: {answer.stderr.strip()[-200:]}"
            )
        if not answer.stdout.strip():
            return FleetState(known=False)
        try:
            return _from_json(answer.stdout)
        except (ValueError, TypeError, KeyError) as wrong:
            raise CouldNotLook(
                f"{self._keeper.name}: {self._path} is not a fleet state ({wrong}); restore it from a release record "
                "(fleet-state.json), or remove it to treat this fleet as new"
            ) from wrong

    def write(self, state: FleetState) -> FleetState:
        """Write the state and return it. Raises CouldNotLook when that fails."""
        body = {
            "schema": SCHEMA,
            "current": _as(state.current),
            "previous": _as(state.previous),
            "unfinished": _as(state.unfinished),
        }
        quoted = shlex.quote(self._path)
        answer = self._keeper.run(
            f"set -e; mkdir -p $(dirname {quoted}); cat >{quoted}.new; sync {quoted}.new; mv {quoted}.new {quoted}; "
            f"sync $(dirname {quoted})",
            sudo=True,
            stdin=json.dumps(body, indent=1) + "\n",
        )
        if answer.rc:
            raise CouldNotLook(
                f"{self._keeper.name}: cannot write {self._path}: {answer.stderr.strip()[-200:]}"
            )
        return replace(state, known=True)


def _as(part: Known | Unfinished | None) -> object:
    return None if part is None else asdict(part)


def _from_json(text: str) -> FleetState:
    body = json.loads(text)
    if body["schema"] != SCHEMA:
        raise ValueError(f"schema {body['schema']}, not {SCHEMA}")
    begun = body["unfinished"]
    return FleetState(
        current=Known(**body["current"]) if body["current"] else None,
        previous=Known(**body["previous"]) if body["previous"] else None,
        unfinished=Unfinished(**{**begun, "candidate": Known(**begun["candidate"])}) if begun else None,
    )
