"""Child processes: bounded in time, ended as a group, and known to whoever comes after a killed parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.release import process, signals
from infra.release.errors import Interrupted, ReleaseError
from infra.release.process import Process, TimedOut, end_leftovers, run, start_time


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.02)


def running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_output_exit_code_and_time_are_kept(tmp_path: Path) -> None:
    done = run(["sh", "-c", "echo out; echo err >&2; exit 3"], log=tmp_path / "log", timeout=20)
    assert done.rc == 3
    assert done.log.read_text() == "out\nerr\n"
    assert done.tail(1) == "err"
    assert done.seconds < 20
    assert done.log.stat().st_mode & 0o077 == 0, "logs are their owner's alone"


def test_a_child_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/child; wait"
    with pytest.raises(TimedOut, match=r"did not finish in 1 s and was ended"):
        run(["sh", "-c", script], log=tmp_path / "log", timeout=1)
    child = int((tmp_path / "child").read_text())
    until(lambda: not running(child))


def test_a_child_that_ignores_being_asked_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE", 0.3)
    with Process(["sh", "-c", "trap '' TERM; echo up; sleep 60"], log=tmp_path / "log", timeout=60) as child:
        until(lambda: "up" in (tmp_path / "log").read_text())
    assert not running(child.pid)


def test_a_program_that_is_not_there_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_dying_with_its_parent", tuple)
    with pytest.raises(ReleaseError, match="no-such-program: not found; run the set-up"):
        run(["no-such-program"], log=tmp_path / "log", timeout=5)


def test_children_are_noted_while_they_run(tmp_path: Path) -> None:
    register = tmp_path / "running"
    child = Process(["sleep", "60"], log=tmp_path / "log", timeout=60, register=register)
    assert (register / str(child.pid)).read_text() == start_time(child.pid)
    child.end()
    assert list(register.iterdir()) == []


def test_leftovers_of_a_dead_conductor_are_ended_even_when_only_grandchildren_live(tmp_path: Path) -> None:
    register = tmp_path / "running"
    register.mkdir()
    leader = subprocess.Popen(
        ["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/child; exec sleep 60"], start_new_session=True
    )
    until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip())
    (register / str(leader.pid)).write_text(start_time(leader.pid) or "")
    os.kill(leader.pid, signal.SIGKILL)
    leader.wait()
    grandchild = int((tmp_path / "child").read_text())
    assert running(grandchild)
    assert end_leftovers(register) == [leader.pid]
    until(lambda: not running(grandchild))
    assert list(register.iterdir()) == []


def test_a_number_that_now_belongs_to_a_stranger_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        (tmp_path / str(stranger.pid)).write_text("1")
        assert end_leftovers(tmp_path) == []
        assert running(stranger.pid)
    finally:
        stranger.kill()
        stranger.wait()


def test_a_signal_while_waiting_ends_the_child_and_is_raised(tmp_path: Path) -> None:
    with signals.interruptible():
        child = Process(["sleep", "60"], log=tmp_path / "log", timeout=60)
        _signal_soon(signal.SIGTERM)
        with pytest.raises(Interrupted, match="interrupted by SIGTERM"):
            child.wait()
    assert not running(child.pid)


def test_a_signal_during_protected_work_is_raised_after_it() -> None:
    done = []

    def work() -> None:
        with signals.deferred(), signals.deferred():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            done.append("all of it")

    with signals.interruptible(), pytest.raises(Interrupted, match="SIGINT"):
        work()
    assert done == ["all of it"]


def test_a_failure_during_protected_work_comes_before_the_signal() -> None:
    def fail() -> None:
        with signals.deferred():
            os.kill(os.getpid(), signal.SIGINT)
            raise ReleaseError("failed")

    done = []
    with signals.interruptible():
        with pytest.raises(ReleaseError, match="failed"):
            fail()
        with signals.deferred():
            done.append("the signal that was heard then is not raised now")
    assert done


def test_a_signal_while_going_back_is_answered_and_nothing_more() -> None:
    heard: list[str] = []
    with signals.interruptible(), signals.answered(heard.append):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)
    assert heard == ["SIGINT", "SIGTERM"]


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with signals.interruptible():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def _signal_soon(number: signal.Signals) -> None:
    subprocess.Popen(
        [sys.executable, "-c", f"import os, time; time.sleep(0.3); os.kill({os.getpid()}, {int(number)})"]
    )
