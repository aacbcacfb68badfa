"""kill -9 anywhere: the next run finishes or undoes, and what the fleet serves is always a whole release."""

import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from toy_fleet import Toy, progress, scratch

from infra.release import journal, slots, state
from infra.release.commands import run_release
from infra.release.recover import recover

# Every place at which a release writes something down or switches something: it may die before it and after it.
MOMENTS = ((journal.Journal, "append"), (state.StateKeeper, "write"), (slots.AppHost, "_do"))


def release_and_die(toy: Toy, version: str, moment: int) -> tuple[int, int]:
    """Release in a process of its own that kills itself with SIGKILL at that moment (0: never).

    Returns how it ended (exit code, or minus the signal) and how many moments it had.
    """
    counter = toy.directory / "moments"
    child = os.fork()
    if child == 0:
        code = 70
        try:
            for owner, name in MOMENTS:
                setattr(owner, name, _deadly(getattr(owner, name), moment, counter))
            code = run_release(toy.order(version), toy.fleet, toy.tools, progress())
        except BaseException:
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(code)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return ended, len(counter.read_text()) if counter.is_file() else 0


def _deadly(method: Callable[..., Any], last: int, counter: Path) -> Callable[..., Any]:
    def passed() -> None:
        with counter.open("a") as file:
            file.write(".")
        if counter.stat().st_size == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def call(*arguments: Any, **named: Any) -> Any:
        passed()
        answer = method(*arguments, **named)
        passed()
        return answer

    return call


def lock_and_recover(toy: Toy) -> list[str]:
    heard: list[str] = []
    with toy.fleet.lock("a test", heard.append):
        recover(toy.fleet, heard.append)
    return heard


@pytest.fixture(scope="module")
def prepared() -> Iterator[Path]:
    """A toy with 1.0.0 current and 1.1.0 built."""
    with scratch() as place:
        toy = Toy.made_in(place / "toy")
        toy.build("1.0.0")
        toy.build("1.1.0")
        assert run_release(toy.order("1.0.0"), toy.fleet, toy.tools, progress()) == 0
        yield place / "toy"


@pytest.fixture
def fresh(prepared: Path) -> Iterator[Callable[[], Toy]]:
    """Makes copies of the prepared toy."""
    with scratch() as place:

        def copy() -> Toy:
            shutil.copytree(prepared, place / str(len(list(place.iterdir()))))
            return Toy(place / str(len(list(place.iterdir())) - 1))

        yield copy


@pytest.mark.parametrize(("verdict", "code"), [(0, 0), (1, 4)], ids=["good", "bad"])
@pytest.mark.parametrize("half", ["before", "after"])
def test_the_next_run_finishes_or_undoes_a_release_killed_at_any_moment(
    fresh: Callable[[], Toy], verdict: int, code: int, half: str
) -> None:
    whole = fresh()
    whole.say("judge", verdict)
    ended, moments = release_and_die(whole, "1.1.0", 0)
    assert (ended, moments > 40) == (code, True)
    # Before one thing and after the one before it is nearly the same moment: each half of the sweep takes every fourth.
    for moment in range(1 if half == "before" else 4, moments + 1, 4):
        toy = fresh()
        old = toy.fleet.state.read().current
        assert old is not None
        toy.say("judge", verdict)
        assert release_and_die(toy, "1.1.0", moment)[0] == -signal.SIGKILL, moment
        heard = lock_and_recover(toy)
        now = toy.fleet.state.read()
        assert now.current is not None
        assert now.unfinished is None, moment
        assert toy.serving() == [now.current.release] * 2, (moment, heard)
        if verdict:
            assert now.current.release == old.release, moment


@pytest.mark.parametrize("moment", [18, 30, 36, 44])
def test_the_release_that_was_killed_can_simply_be_run_again(fresh: Callable[[], Toy], moment: int) -> None:
    toy = fresh()
    assert release_and_die(toy, "1.1.0", moment)[0] == -signal.SIGKILL
    assert run_release(toy.order("1.1.0"), toy.fleet, toy.tools, progress()) == 0
    current = toy.fleet.state.read().current
    assert current is not None
    assert current.version == "1.1.0"


def test_the_lock_of_a_killed_release_is_taken_over_and_that_is_said(fresh: Callable[[], Toy]) -> None:
    toy = fresh()
    release_and_die(toy, "1.1.0", 20)
    heard = lock_and_recover(toy)
    assert heard[0].startswith("taking over the lock of a dead release: ")


def test_what_a_killed_release_left_running_is_ended(fresh: Callable[[], Toy]) -> None:
    toy = fresh()
    (toy.directory / "say" / "platform-hangs").touch()
    child = os.fork()
    if child == 0:
        run_release(toy.order("1.1.0"), toy.fleet, toy.tools, progress())
        os._exit(0)
    _until((toy.directory / "hanging").exists)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    record = toy.record()
    session = int(next((record / "running").iterdir()).name)
    lock_and_recover(toy)
    _until(lambda: not _alive_in(session))


def _alive_in(session: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(entry.name))
    return found


def _until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.02)
