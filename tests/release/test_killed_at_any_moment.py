"""kill -9 anywhere: the next run finishes or undoes, and what the fleet serves is always a whole release."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from toy_fleet import Toy, progress

from infra.release.commands import run_release
from infra.release.recover import recover

SCRIPT = Path(__file__).with_name("killed_release.py")


def run_and_die(toy: Toy, version: str, moment: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(toy.directory), version, str(moment)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def lock_and_recover(toy: Toy) -> list[str]:
    heard: list[str] = []
    with toy.fleet.lock("a test", heard.append):
        recover(toy.fleet, heard.append)
    return heard


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, int]:
    """A toy with 1.0.0 current and 1.1.0 built, and how many moments a good and a bad release of 1.1.0 have."""
    place = tmp_path_factory.mktemp("prepared") / "toy"
    toy = Toy.made_in(place)
    toy.build("1.0.0")
    toy.build("1.1.0")
    assert run_release(toy.order("1.0.0"), toy.fleet, toy.tools, progress()) == 0
    counts = []
    for verdict, code in ((0, 0), (1, 4)):
        trial = copy_of(place, tmp_path_factory.mktemp("count"))
        trial.say("judge", verdict)
        done = run_and_die(trial, "1.1.0", 0)
        assert done.returncode == code, done.stderr
        counts.append(int(done.stdout.split()[-1]))
    return place, counts[0], counts[1]


def copy_of(place: Path, into: Path) -> Toy:
    shutil.copytree(place, into / "toy")
    return Toy(into / "toy")


@pytest.mark.parametrize("judged", ["good", "bad"])
@pytest.mark.parametrize("part", range(4))
def test_the_next_run_finishes_or_undoes_a_release_killed_at_any_moment(
    prepared: tuple[Path, int, int], tmp_path: Path, judged: str, part: int
) -> None:
    place, good, bad = prepared
    moments = range(1 + part, (good if judged == "good" else bad) + 1, 4)
    assert len(moments) > 8
    for moment in moments:
        toy = copy_of(place, tmp_path / f"{moment}")
        old = toy.fleet.state.read().current
        assert old is not None
        toy.say("judge", 0 if judged == "good" else 1)
        died = run_and_die(toy, "1.1.0", moment)
        assert died.returncode == -signal.SIGKILL, (moment, died.stderr)
        heard = lock_and_recover(toy)
        state = toy.fleet.state.read()
        assert state.unfinished is None, moment
        assert state.current is not None
        assert toy.serving() == [state.current.release] * 2, (moment, heard)
        if judged == "bad":
            assert state.current.release == old.release, moment
        if moment % 7:
            continue
        toy.say("judge", 0)
        assert run_release(toy.order("1.1.0"), toy.fleet, toy.tools, progress()) == 0, moment
        current = toy.fleet.state.read().current
        assert current is not None
        assert current.version == "1.1.0"


def test_the_lock_of_a_killed_release_is_taken_over_and_that_is_said(
    prepared: tuple[Path, int, int], tmp_path: Path
) -> None:
    toy = copy_of(prepared[0], tmp_path)
    run_and_die(toy, "1.1.0", 20)
    heard = lock_and_recover(toy)
    assert any(line.startswith("taking over the lock of a dead release: ") for line in heard)
