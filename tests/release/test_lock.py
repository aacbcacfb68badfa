"""The fleet's lock, with real shells and real processes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from infra.release import lock as lock_module
from infra.release.errors import CouldNotLook, LockHeld
from infra.release.lock import FleetLock, Holder
from infra.release.transport import LocalShell


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "release"


def lock(place: Path, heard: list[str] | None = None, heartbeat: float = 15.0) -> FleetLock:
    return FleetLock(LocalShell("ops1", place.parent), str(place), "a test", (heard or []).append, heartbeat)


def leave(place: Path, holder: Holder) -> None:
    place.mkdir(exist_ok=True)
    (place / "lock").write_text(json.dumps(asdict(holder)) + "\n")


def dead(**changes: object) -> Holder:
    """A holder whose process has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return replace(Holder.this_process("something"), pid=child.pid, **changes)  # type: ignore[arg-type]


def test_it_says_who_holds_it_since_when_and_what_to_do(place: Path) -> None:
    with lock(place) as held, pytest.raises(LockHeld) as refused, lock(place):
        pytest.fail("two hold it")
    told = str(refused.value)
    assert f"process {os.getpid()}, a test" in told
    assert held.me.since in told
    assert "wait for it, or end that process" in told
    assert refused.value.exit_code == 5


def test_it_is_gone_afterwards_whatever_happened_within(place: Path) -> None:
    with pytest.raises(ZeroDivisionError), lock(place):
        _ = 1 / 0
    assert not (place / "lock").exists()
    with lock(place):
        assert (place / "lock").exists()


def test_a_dead_process_loses_it_and_that_is_said(place: Path) -> None:
    leave(place, dead(user="mia"))
    heard: list[str] = []
    with FleetLock(LocalShell("ops1", place.parent), str(place), "a test", heard.append) as mine:
        assert json.loads((place / "lock").read_text())["token"] == mine.me.token
    assert heard[0].startswith("taking over the lock of a dead release: mia on ")


def test_a_process_number_that_now_belongs_to_another_does_not_keep_it(place: Path) -> None:
    leave(place, replace(Holder.this_process("x"), started="1"))
    with lock(place):
        assert (place / "lock").exists()


def test_a_holder_elsewhere_counts_as_alive_while_its_heart_beats(place: Path) -> None:
    leave(place, dead(place="another computer", host="office"))
    with pytest.raises(LockHeld, match="on office"), lock(place):
        pytest.fail("taken from the living")
    long_ago = time.time() - lock_module.SILENCE_SECONDS - 5
    os.utime(place / "lock", (long_ago, long_ago))
    with lock(place):
        assert "office" not in (place / "lock").read_text()


def test_an_unreadable_lock_is_taken_over_aloud(place: Path) -> None:
    place.mkdir()
    (place / "lock").write_text("{half a")
    heard: list[str] = []
    with FleetLock(LocalShell("ops1", place.parent), str(place), "a test", heard.append):
        assert "unreadable" in heard[0]


def test_its_heart_beats_and_notices_a_thief(place: Path) -> None:
    with lock(place, heartbeat=0.05) as held:
        os.utime(place / "lock", (1, 1))
        _until(lambda: (place / "lock").stat().st_mtime > 1)
        held.still_ours()
        leave(place, dead())
        _until(lambda: _stolen(held))
    assert (place / "lock").exists(), "what another holds is not removed"


def test_of_many_who_see_a_stale_lock_only_one_gets_it(place: Path) -> None:
    leave(place, dead())
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom infra.release.lock import FleetLock\n"
        "from infra.release.transport import LocalShell\nfrom infra.release.errors import LockHeld\n"
        "p = Path(sys.argv[1])\n"
        "try:\n"
        "    with FleetLock(LocalShell('ops1', p.parent), str(p), 'race', print): print('GOT'); time.sleep(3)\n"
        "except LockHeld: print('REFUSED')\n"
    )
    racers = [
        subprocess.Popen([sys.executable, "-c", code, str(place)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = [racer.communicate(timeout=60)[0] for racer in racers]
    assert sum("GOT" in text for text in said) == 1
    assert sum("REFUSED" in text for text in said) == 3


def test_a_keeper_that_cannot_be_written_is_an_error_that_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    blocked = FleetLock(LocalShell("ops1", tmp_path), str(tmp_path / "file" / "release"), "a test", print)
    with pytest.raises(CouldNotLook, match=r"ops1: cannot write .*file/release"), blocked:
        pytest.fail("taken")


def _until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.02)


def _stolen(held: FleetLock) -> bool:
    try:
        held.still_ours()
    except CouldNotLook:
        return True
    return False
