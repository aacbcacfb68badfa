"""A release, told from its beginning to its end: what is done in which order, and what happens when it fails."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from infra.release import plan, preflight, rollback, verdict
from infra.release.artifact import Artifact, open_artifact
from infra.release.build import VersionTaken, build, declared_version
from infra.release.errors import CouldNotLook, GateClosed, Interrupted, ReleaseError
from infra.release.fleet import Fleet
from infra.release.loads import Load
from infra.release.lock import FleetLock
from infra.release.order import Ending, Order, Outcome
from infra.release.plan import Situation
from infra.release.process import Finished
from infra.release.proof import Evidence, Measured, Proof
from infra.release.record import Record
from infra.release.recover import recover
from infra.release.signals import answered, deferred
from infra.release.slots import AppHost
from infra.release.source import Source
from infra.release.state import FleetState, Known, Stage, Unfinished
from infra.release.tools import Tools


def release(order: Order, fleet: Fleet, tools: Tools, record: Record) -> Outcome:
    """Take one version onto the fleet, or leave the fleet as it was.

    Returns the outcome of a release that began. Raises ReleaseError (LockHeld, CouldNotLook, WrongUse) or Interrupted
    when it ended before anything was changed.
    """
    with record.step(plan.PREFLIGHT) as running:
        preflight.look(fleet.members)
        running.detail = f"{len(fleet.members)} machines"
    version = order.version or declared_version(order.source)
    with fleet.lock(f"release {version}", record.progress.warn) as lock:
        state = recover(fleet, record.progress.warn)
        artifact = obtain(order)
        return Rollout(order, fleet, tools, record, lock, state, artifact).run()


def obtain(order: Order) -> Artifact:
    """The artifact of the wanted version, every file checked: as it lies in dist/, or built now.

    One with the same content from another commit is given this commit, as the evidence is of what is released now; one
    with other content stays what it is, for a version never changes. Raises WrongUse.
    """
    if order.version is None or not (order.dist / order.version).is_dir():
        return build(Source.of(order.source), order.version, order.dist)
    there = open_artifact(order.dist / order.version)
    source = Source.of(order.source)
    if there.tree == source.tree:
        return there
    try:
        return build(source, order.version, order.dist)
    except VersionTaken:
        return there


class Rollout:
    """One artifact on its way onto one fleet. `run` is the story; the private methods follow in its order."""

    def __init__(
        self,
        order: Order,
        fleet: Fleet,
        tools: Tools,
        record: Record,
        lock: FleetLock,
        state: FleetState,
        artifact: Artifact,
    ) -> None:
        self.order, self.fleet, self.tools, self.record, self.lock = order, fleet, tools, record, lock
        self.artifact, self.candidate, self.old = artifact, Known.of(artifact), state.current
        self.proof = Proof(order, tools, record, artifact.manifest)
        self.situation = Situation(
            tuple(host.name for host in fleet.app_hosts),
            state.current.release if state.current else None,
            artifact.release,
        )
        self._plan = plan.steps(self.situation)
        self._state = state
        self._baseline: Load | None = None
        self._measured: Measured | None = None
        self._evidence: Evidence | None = None
        self._facts: dict[str, str] = {}

    def run(self) -> Outcome:
        """Go forward; at any failure or interruption, go back."""
        try:
            self._begin()
            self._collect_evidence_beside_the_deploy()
            self._bring_the_platform_to_what_is_declared()
            self._check_before()
            self._measure_what_runs_now()
            if not self.situation.already_there:
                self._expand_the_schema_once()
                self._stage_on_every_app_host()
                self._judge_a_canary()
                self._switch_the_rest()
            self._measure_the_candidate()
            self._check_after()
            self._remember_as_current()
        except BaseException as why:
            with answered(self._say_that_it_goes_back):
                outcome = self._end_early(why)
            if not isinstance(why, ReleaseError | Interrupted):
                raise
            return outcome
        return self._outcome("released", "")

    # -- forward, in the order told ------------------------------------------------------------------------

    def _begin(self) -> None:
        self.record.note(
            "release", release=self.artifact.as_json(), **{"from": asdict(self.old) if self.old else None}
        )
        self.record.keep(
            "plan.json", {"situation": asdict(self.situation), "steps": [asdict(step) for step in self._plan]}
        )
        for name in ("manifest.json", "sbom.json"):
            (self.record.directory / name).write_bytes((self.artifact.directory / name).read_bytes())
        self._mark("begun")

    def _collect_evidence_beside_the_deploy(self) -> None:
        self._evidence = self.proof.collect_evidence(self.artifact, self.fleet.state_dir)

    def _bring_the_platform_to_what_is_declared(self) -> None:
        self.proof.deploy(plan.PLATFORM, self.tools.pyinfra("platform"))

    def _check_before(self) -> None:
        if self._evidence is not None:
            self._evidence.finish()
        self._facts["pre checks"] = str(self.proof.check(plan.PRE, "pre"))

    def _measure_what_runs_now(self) -> None:
        if plan.BASELINE in self._plan:
            self._baseline = self.proof.load(plan.BASELINE, "baseline", None, gates=False).load

    def _expand_the_schema_once(self) -> None:
        self.proof.deploy(plan.MIGRATE, self.tools.migrate(self.artifact, self.situation.app_hosts[0]))

    def _stage_on_every_app_host(self) -> None:
        self.proof.deploy(plan.STAGE, self.tools.stage(self.artifact, self.situation.app_hosts))

    def _judge_a_canary(self) -> None:
        if not self.situation.compared:
            return
        canary, baseline = self.fleet.app_hosts[0], self.fleet.app_hosts[1]
        self._switch(plan.canary(canary.name), canary)
        step = plan.judge(canary.name, baseline.name)
        with self.record.step(step) as running:
            running.detail = self._facts["verdict"] = verdict.judge_canary(
                self.tools,
                baseline.name,
                canary.name,
                self.order.buying,
                self.record.directory / "verdict",
                self._runner(running.log, step.seconds),
                self.record.progress.say,
            )

    def _switch_the_rest(self) -> None:
        for host in self.fleet.app_hosts[1 if self.situation.compared else 0 :]:
            self._switch(plan.switch(host.name), host)

    def _measure_the_candidate(self) -> None:
        self._measured = self.proof.load(plan.AFTER, "after", self._baseline)
        self._facts["load"] = str(self._measured.load)

    def _check_after(self) -> None:
        self._facts["post checks"] = str(self.proof.check(plan.POST, "post", self._measured))

    def _remember_as_current(self) -> None:
        with self.record.step(plan.REMEMBER) as running, deferred():
            self._mark("proven")
            self._state = self.fleet.state.write(self._state.finished_with(self.candidate))
            running.detail = self.artifact.release

    def _switch(self, step: plan.Step, host: AppHost) -> None:
        self.lock.still_ours()
        with self.record.step(step) as running:
            if self._stage() != "switching":
                self._mark("switching")
            with deferred():  # a switch is made wholly or not at all
                host.serve(self.artifact.release)
                self.record.note("switched", host=host.name, to=self.artifact.release, back=False)
            running.detail = f"{host.name} serves {self.artifact.release}"

    # -- when it fails -------------------------------------------------------------------------------------

    def _end_early(self, why: BaseException) -> Outcome:
        """Leave the fleet as it was before this release, whatever went wrong, and say how that went."""
        reason = str(why) or type(why).__name__
        if self._evidence is not None:
            self._evidence.end()
        self.record.note("failed", reason=reason)
        if self._stage() == "proven":  # only the last write is missing, and the next run completes it
            return self._outcome("could not look", f"{reason}; all proof passed, run again to finish")
        if self._stage() != "switching":
            self._forget()
            return self._outcome(_ending_before_a_switch(why), reason)
        if self.old is None:
            self._forget()
            return self._outcome(
                "first failed", f"{reason}; it was the first release: there is nothing to go back to"
            )
        return self._go_back(self.old, reason)

    def _go_back(self, old: Known, reason: str) -> Outcome:
        self.record.progress.warn(f"going back to {old.version}: {reason.splitlines()[0]}")
        try:
            back = rollback.switch_back(self.fleet, self.record, old)
        except ReleaseError as failed:
            return self._outcome(
                "not back", f"{reason}; going back failed: {failed}; mend that and run again to finish it"
            )
        self._facts["switched back"] = f"{', '.join(back.hosts) or 'no host'} in {back.seconds:.2f} s"
        doubts = rollback.prove_restored(self.proof, self._baseline)
        self._facts["restored"] = "; ".join(doubts) or "checks and load as before the release"
        try:
            self._forget()
        except ReleaseError as silent:  # the hosts are back; the next run finds them so and clears the note
            self._facts["left to the next run"] = str(silent)
        return self._outcome("rolled back", reason)

    def _forget(self) -> None:
        if self._state.unfinished is not None:
            self._state = self.fleet.state.write(replace(self._state, unfinished=None))

    def _say_that_it_goes_back(self, signal_name: str) -> None:
        self.record.progress.warn(f"{signal_name}: already going back; that is not given up half-way")

    # -- notes ---------------------------------------------------------------------------------------------

    def _mark(self, stage: Stage) -> None:
        """Write on the fleet how far this release may have come, before it goes there."""
        begun = Unfinished(
            self.candidate, stage, str(self.record.directory), self.lock.me.user, self.lock.me.since
        )
        self._state = self.fleet.state.write(replace(self._state, unfinished=begun))

    def _stage(self) -> Stage | None:
        return self._state.unfinished.stage if self._state.unfinished else None

    def _runner(self, log: Path, seconds: float) -> Callable[[list[str]], Finished]:
        return lambda argv: self.proof.run(argv, log, seconds)

    def _outcome(self, ending: Ending, reason: str) -> Outcome:
        return Outcome(
            ending, reason, self.artifact, self.old, self._state.current, self.record.directory, self._facts
        )


def _ending_before_a_switch(why: BaseException) -> Ending:
    if isinstance(why, Interrupted):
        return "interrupted"
    if isinstance(why, GateClosed):
        return "gate closed"
    return "could not look" if isinstance(why, CouldNotLook) else "failed"
