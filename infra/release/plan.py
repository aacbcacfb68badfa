"""The plan of a release: its steps in order, each with its bound in time, made from what the fleet runs now."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step. `seconds` bounds each process that it runs."""

    name: str
    title: str
    seconds: float


PREFLIGHT = Step("preflight", "look at every machine before touching one", 60)
RECOVER = Step("recover", "finish or undo an unfinished release", 300)
EVIDENCE = Step("evidence", "tests, types, lint, audit of this very source", 900)
PLATFORM = Step("platform", "bring the platform to what is declared", 900)
PRE = Step("pre", "checks before the release", 900)
BASELINE = Step("baseline", "load on what runs now", 240)
STAGE = Step("stage", "install the candidate in the inactive slots", 600)
MIGRATE = Step("migrate", "expand the database schema", 300)
POST = Step("post", "checks after the release", 900)
AFTER = Step("after", "load on the candidate, against the baseline", 240)
REMEMBER = Step("remember", "record it as current", 60)
BACK = Step("back", "switch every app host back", 120)
ROLLBACK = Step("rollback", "checks after going back", 900)
RESTORED = Step("restored", "load shown equal to the baseline", 240)


def canary(host: str) -> Step:
    """New connections of one host go to the candidate, the others keep the old release."""
    return Step("canary", f"canary: {host} on the candidate", 120)


def judge(candidate: str, baseline: str) -> Step:
    """Both versions side by side under the same load."""
    return Step("judge", f"paired load: {candidate} against {baseline}", 600)


def switch(host: str) -> Step:
    """One more host goes to the candidate."""
    return Step(f"switch-{host}", f"switch {host}", 120)


@dataclass(frozen=True)
class Situation:
    """What a plan depends on: the app hosts in order, what is current, and whether it is the candidate itself."""

    app_hosts: tuple[str, ...]
    current: str | None
    candidate: str

    @property
    def first(self) -> bool:
        """Nothing to compare with and nothing to go back to."""
        return self.current is None

    @property
    def already_there(self) -> bool:
        """The candidate is what runs: there is nothing to switch, only to prove."""
        return self.current == self.candidate

    @property
    def compared(self) -> bool:
        """Whether a canary is judged against a host that keeps the old release."""
        return not self.first and not self.already_there and len(self.app_hosts) > 1


def steps(situation: Situation) -> tuple[Step, ...]:
    """The steps of a release that goes well, in order."""
    hosts = situation.app_hosts
    plan = [PREFLIGHT, EVIDENCE, PLATFORM, PRE]
    if not situation.first and not situation.already_there:
        plan.append(BASELINE)
    if not situation.already_there:
        plan += [MIGRATE, STAGE]
        if situation.compared:
            plan += [canary(hosts[0]), judge(hosts[0], hosts[1]), *map(switch, hosts[1:])]
        else:
            plan += map(switch, hosts)
    return (*plan, AFTER, POST, REMEMBER)


def shown(situation: Situation, plan: Sequence[Step]) -> list[str]:
    """The plan as lines to read."""
    first = "the first release on this fleet: no canary, no way back"
    start = f"from {situation.current}" if situation.current else first
    back = (
        f"at any failure or Ctrl-C: switch back to {situation.current}, `rollback` checks, load against the baseline"
        if situation.current and not situation.already_there
        else "at any failure: nothing is recorded as current"
        if situation.first
        else "the candidate is already current: it is proven again, nothing is switched"
    )
    numbered = [f"{number:2}. {step.title} (≤ {step.seconds:.0f} s)" for number, step in enumerate(plan, 1)]
    return [f"release {situation.candidate}, {start}", *numbered, back]
