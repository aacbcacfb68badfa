"""Ctrl-C in every phase of a release: the fleet is left as it was, and the exit code says how it ended."""

import json
import os
import signal
import time
from collections.abc import Callable

import pytest
from toy_fleet import Toy, progress

from infra.release.commands import run_release
from infra.release.signals import interruptible


def interrupted_release(toy: Toy, version: str, *signals: signal.Signals) -> int:
    """Release in a process of its own, and signal it once the tool that hangs is running; returns its exit code."""
    child = os.fork()
    if child == 0:
        with interruptible():
            os._exit(run_release(toy.order(version), toy.fleet, toy.tools, progress()))
    _until((toy.directory / "hanging").exists)
    for number in signals:
        os.kill(child, number)
        time.sleep(0.2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def running(toy: Toy) -> str:
    name = toy.build("1.0.0")
    assert run_release(toy.order("1.0.0"), toy.fleet, toy.tools, progress()) == 0
    toy.build("1.1.0")
    return name


@pytest.mark.parametrize(
    ("tool", "code", "ending"),
    [
        ("platform", 1, "interrupted"),
        ("pre", 1, "interrupted"),
        ("run", 1, "interrupted"),
        ("app_migrate", 1, "interrupted"),
        ("app_stage", 1, "interrupted"),
        ("pairs", 4, "rolled back"),
        ("judge", 4, "rolled back"),
        ("post", 4, "rolled back"),
    ],
)
def test_ctrl_c_in_a_phase_leaves_the_old_release_everywhere(
    toy: Toy, running: str, tool: str, code: int, ending: str
) -> None:
    (toy.directory / "say" / f"{tool}-hangs").touch()
    assert interrupted_release(toy, "1.1.0", signal.SIGINT) == code
    assert toy.serving() == [running, running]
    outcome = json.loads((toy.record() / "outcome.json").read_text())
    assert (outcome["ending"], outcome["reason"]) == (ending, "interrupted by SIGINT")
    assert toy.fleet.state.read().unfinished is None
    assert not (toy.directory / "ops1" / "release" / "lock").exists()


@pytest.mark.usefixtures("running")
def test_impatience_while_going_back_changes_nothing(toy: Toy) -> None:
    (toy.directory / "say" / "judge-hangs").touch()
    assert interrupted_release(toy, "1.1.0", signal.SIGINT, signal.SIGINT, signal.SIGTERM) == 4
    assert json.loads((toy.record() / "timeline.json").read_text())["outcome"] == "rolled back"


def _until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.02)
