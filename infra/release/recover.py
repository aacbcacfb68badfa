"""What to do about a release that was cut off: decided from the fleet's own state and what its hosts serve."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from infra.release import process
from infra.release.errors import ReleaseError
from infra.release.fleet import Fleet
from infra.release.slots import AppHost
from infra.release.state import FleetState, Known


@dataclass(frozen=True)
class Decision:
    """`target` is the release that every host must serve afterwards, None when no host is to be touched."""

    action: Literal["nothing", "forget", "undo", "finish", "adopt"]
    target: Known | None
    why: str


def decide(state: FleetState, serving: Mapping[str, str | None]) -> Decision:
    """What is to be done. `serving` maps app hosts to the release that each serves now.

    Raises ReleaseError when the fleet's record and its hosts contradict each other in a way no release leaves behind.
    """
    begun = state.unfinished
    if begun is None:
        return _agreeing(state, serving)
    text = f"the release of {begun.candidate.version} by {begun.by}, begun {begun.since}"
    if begun.stage == "proven":
        return Decision("finish", begun.candidate, f"{text}, had passed everything: finished")
    if begun.stage == "begun":
        return Decision("forget", state.current, f"{text}, was cut off before any switch: nothing to undo")
    if state.current is None:
        return Decision(
            "forget", None, f"{text}, was cut off; it was the first, so there is nothing to go back to"
        )
    return Decision("undo", state.current, f"{text}, was cut off half-way: back to {state.current.version}")


def recover(fleet: Fleet, say: Callable[[str], None]) -> FleetState:
    """End what a dead conductor left running, then finish or undo its release; return the fleet's state after it.

    Needs the lock. Raises ReleaseError when a host cannot be brought to where it must be; the next run tries again.
    """
    state = fleet.state.read()
    if state.unfinished is not None:
        for session in process.end_leftovers(Path(state.unfinished.record) / "running"):
            say(f"ended what the interrupted release left running (session {session})")
    serving = {host.name: host.status().release for host in fleet.app_hosts}
    decision = decide(state, serving)
    if decision.action == "nothing":
        return state
    say(decision.why)
    if decision.action == "undo" and state.unfinished is not None:
        fleet.state.write(replace(state, unfinished=replace(state.unfinished, stage="undoing")))
    if decision.target is not None and decision.action in ("undo", "finish", "forget"):
        failures = serve_everywhere(fleet.app_hosts, decision.target.release)
        if failures:
            raise ReleaseError("; ".join(failures) + "; mend that and run again: it is still to be finished")
    if decision.action in ("finish", "adopt") and decision.target is not None:
        return fleet.state.write(state.finished_with(decision.target))
    return fleet.state.write(replace(state, unfinished=None))


def serve_everywhere(
    hosts: Sequence[AppHost], release: str, switched: Callable[[str], None] = lambda _host: None
) -> list[str]:
    """Have every host serve `release`, last switched first, going on after a host that fails; return the failures."""
    failures = []
    for host in reversed(hosts):
        try:
            if host.serve(release):
                switched(host.name)
        except ReleaseError as why:
            failures.append(str(why))
    return failures


def _agreeing(state: FleetState, serving: Mapping[str, str | None]) -> Decision:
    found = set(serving.values())
    if state.current is not None and found != {state.current.release}:
        shown = ", ".join(f"{host} serves {release or 'nothing'}" for host, release in serving.items())
        raise ReleaseError(
            f"the fleet's record says {state.current.release} is current, but {shown}; someone switched by hand: "
            "run `launchgate rollback INVENTORY --to VERSION` with the version that shall be current"
        )
    only = found.pop() if len(found) == 1 else None
    if not state.known and only:  # deployed by pyinfra alone, before the first release by a conductor
        version = only.rpartition("-")[0] or only
        why = f"no release is on record; {version} runs on every app host: taken as current"
        return Decision("adopt", Known(only, version), why)
    return Decision("nothing", None, "")
