"""Going back: every app host serves the old release again, then it is shown that all is as it was."""

import time
from dataclasses import dataclass, replace

from infra.release import plan
from infra.release.artifact import Artifact, open_artifact
from infra.release.errors import ReleaseError, WrongUse
from infra.release.fleet import Fleet
from infra.release.loads import Load
from infra.release.lock import FleetLock
from infra.release.order import Order
from infra.release.proof import Proof
from infra.release.record import Record
from infra.release.recover import recover, serve_everywhere
from infra.release.signals import deferred
from infra.release.state import FleetState, Known, Unfinished
from infra.release.tools import Tools


@dataclass(frozen=True)
class Back:
    """How going back went. `seconds`: from the decision until every host served the old release. `doubts`: what could
    not be shown equal afterwards; empty when all was."""

    seconds: float
    hosts: tuple[str, ...]
    doubts: tuple[str, ...]


def switch_back(fleet: Fleet, record: Record, target: Known) -> Back:
    """Have every app host serve `target`. Raises ReleaseError naming the hosts that could not be switched."""
    began = time.monotonic()
    moved: list[str] = []
    # Switch first and write afterwards: going back must not fail because the controller's disk is full.
    failures = serve_everywhere(fleet.app_hosts, target.release, moved.append)
    seconds = time.monotonic() - began
    for host in moved:
        record.note("switched", host=host, to=target.release, back=True)
    with record.step(plan.BACK) as running:
        running.detail = f"{', '.join(moved) or 'no host had to move'}, {seconds:.2f} s from the decision"
        if failures:
            raise ReleaseError("; ".join(failures))
    return Back(seconds, tuple(moved), ())


def prove_restored(proof: Proof, baseline: Load | None) -> list[str]:
    """`rollback` checks and a load against the baseline. Returns what is not as before, in words."""
    doubts = []
    measured = None
    try:
        measured = proof.load(plan.RESTORED, "restored", baseline)
    except ReleaseError as why:
        doubts.append(str(why).splitlines()[0])
    try:
        proof.check(plan.ROLLBACK, "rollback", measured)
    except ReleaseError as why:
        doubts.append(str(why).splitlines()[0])
    return doubts


def roll_back(
    fleet: Fleet, tools: Tools, order: Order, record: Record, lock: FleetLock, to: str | None
) -> Back:
    """`launchgate rollback`: return to `to`, else to the release before the current one; prove it, record it.

    An interrupted release is undone first; when that was all that was asked for, nothing more is switched. Raises
    WrongUse when there is nothing to go back to, ReleaseError when a host cannot be switched.
    """
    state, undone = _settled(fleet, record)
    target = _target(state, undone, to, fleet)
    record.note("release", release=vars(target), **{"from": vars(state.current) if state.current else None})
    lock.still_ours()
    _hold_everywhere(fleet, tools, order, record, target)
    left = state.current or target
    going = Unfinished(left, "undoing", str(record.directory), lock.me.user, lock.me.since)
    with deferred():
        # From here on the target is what a later run must complete, should this one be killed.
        state = fleet.state.write(FleetState(current=target, previous=None, unfinished=going))
        back = switch_back(fleet, record, target)
        fleet.state.write(replace(state, unfinished=None))
    manifest = order.dist / target.version / "manifest.json"
    doubts = prove_restored(Proof(order, tools, record, manifest if manifest.is_file() else None), None)
    return replace(back, doubts=tuple(doubts))


def _settled(fleet: Fleet, record: Record) -> tuple[FleetState, bool]:
    before = fleet.state.read()
    if before.unfinished is None:
        return before, False
    after = recover(fleet, record.progress.say)
    return after, after.current == before.current


def _target(state: FleetState, undone: bool, to: str | None, fleet: Fleet) -> Known:
    if to is not None:
        recorded = [release for release in (state.current, state.previous) if release]
        known = [release for release in recorded if to in (release.version, release.release)]
        return known[0] if known else _installed(fleet, to)
    if undone and state.current is not None:
        return state.current
    if state.previous is None:
        raise WrongUse("there is no release before the current one on this fleet; name one with --to VERSION")
    return state.previous


def _installed(fleet: Fleet, version: str) -> Known:
    """A release that is in some host's slot although the record does not name it."""
    for host in fleet.app_hosts:
        for slot in host.status().slots.values():
            if version in (slot.version, slot.release):
                return Known(slot.release, slot.version)
    raise WrongUse(
        f"{version} is neither current, nor the release before it, nor in any slot; release it with "
        f"`launchgate release INVENTORY --version {version}`"
    )


def _hold_everywhere(fleet: Fleet, tools: Tools, order: Order, record: Record, target: Known) -> None:
    """Stage the target on hosts whose slots have lost it. Raises ReleaseError when its artifact is not there either."""
    lacking = [host.name for host in fleet.app_hosts if host.status().holding(target.release) is None]
    if not lacking:
        return
    artifact: Artifact = open_artifact(order.dist / target.version)
    if artifact.release != target.release:
        raise WrongUse(
            f"{', '.join(lacking)} lost {target.release}; {artifact.directory} is {artifact.release}"
        )
    Proof(order, tools, record, artifact.manifest).deploy(plan.STAGE, tools.stage(artifact, lacking))
