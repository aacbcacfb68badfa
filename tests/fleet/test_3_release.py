"""A good release loses no request; one that fails under load takes itself back; both say what they did."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.release.fleet import DIRECTORY
from tests.fleet.conftest import BAD, BETTER, FIRST, INVENTORY, REPOSITORY, Fleet

pytestmark = pytest.mark.fleet
LOCK = f"{DIRECTORY}/lock"
BAD_PATCH = REPOSITORY / "infra" / "release" / "demo" / "errors_under_load.patch"


@pytest.fixture(scope="module")
def release(deployed: Fleet, tmp_path_factory: pytest.TempPathFactory) -> "Releases":
    releases = Releases(deployed, tmp_path_factory.mktemp("releases"))
    first = releases.release(FIRST)
    assert first.returncode == 0, first.stdout[-6000:] + first.stderr[-2000:]
    return releases


class Releases:
    """`launchgate release` with its report directories."""

    def __init__(self, fleet: Fleet, out: Path) -> None:
        self.fleet, self.out = fleet, out

    def command(self, version: str, *more: str | Path) -> list[str | Path]:
        words: list[str | Path] = [
            sys.executable,
            "-m",
            "infra.cli",
            "release",
            INVENTORY,
            "--version",
            version,
        ]
        return [*words, "--out", self.out / version, "--allow-unimplemented", *more]

    def release(self, version: str, *more: str | Path) -> subprocess.CompletedProcess[str]:
        return self.fleet.run(*self.command(version, *more), timeout=900)

    def report(self, version: str) -> dict[str, Any]:
        return dict(json.loads((self.out / version / "report.json").read_text()))


@pytest.fixture
def prober(deployed: Fleet, tmp_path: Path) -> Iterator[Path]:
    """50 requests/s, GET and POST, never retried, while the test runs; the file that its summary goes to."""
    summary = tmp_path / "prober.json"
    words = [sys.executable, "-m", "loadtests.prober", INVENTORY, "--rate", "50", "--out", str(summary)]
    process = deployed.start(words)
    time.sleep(3)
    yield summary
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


def stopped(summary: Path) -> dict[str, Any]:
    """End the prober that writes to `summary` and read what it counted."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if str(summary).encode() in line:
            os.kill(int(path.parent.name), signal.SIGTERM)
    deadline = time.monotonic() + 60
    while not summary.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    return dict(json.loads(summary.read_text()))


def test_a_good_release_loses_no_request(release: Releases, deployed: Fleet, prober: Path) -> None:
    done = release.release(BETTER, "--source", REPOSITORY)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    counted = stopped(prober)
    assert deployed.serving() == {"app1": BETTER, "app2": BETTER}
    assert counted["lost"] == 0, counted
    assert counted["sent"] > 1000
    assert set(counted["by_method"]) == {"GET", "POST"}
    report = release.report(BETTER)
    assert report["gate"] == "open"
    assert report["release"]["version"] == BETTER
    assert report["timeline"]


def test_a_release_that_fails_under_load_is_taken_back(
    release: Releases, deployed: Fleet, tmp_path: Path
) -> None:
    source = tmp_path / "bad"
    for words in (
        ["git", "clone", "--quiet", "--local", "--no-hardlinks", str(REPOSITORY), str(source)],
        ["git", "-C", str(source), "apply", "--index", str(BAD_PATCH)],
        [
            "git",
            "-C",
            str(source),
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t.invalid",
            "commit",
            "-qm",
            "pool",
        ],
    ):
        assert subprocess.run(words, check=False).returncode == 0, words
    done = release.release(BAD, "--source", source)
    assert done.returncode == 4, done.stdout[-6000:] + done.stderr[-2000:]
    assert deployed.serving() == {"app1": BETTER, "app2": BETTER}
    assert (release.out / BAD / "post-mortem.md").exists()
    told = [entry for entry in release.report(BAD)["timeline"] if "fail" in json.dumps(entry).lower()]
    assert told, "the timeline does not say what failed"


def test_a_second_release_is_told_who_holds_the_lock_and_since_when(
    release: Releases, deployed: Fleet
) -> None:
    first = deployed.start(release.command(BETTER))
    try:
        deadline = time.monotonic() + 60
        while str(first.pid) not in deployed.ssh("ops1", f"sudo cat {LOCK}").stdout:
            assert first.poll() is None, first.communicate()[0]
            assert time.monotonic() < deadline, "the first release never took the lock"
            time.sleep(0.3)
        second = release.release(BETTER)
        assert second.returncode == 5, second.stdout + second.stderr
        assert str(first.pid) in second.stdout + second.stderr
        assert "since" in second.stdout + second.stderr
    finally:
        if first.poll() is None:
            os.killpg(first.pid, signal.SIGKILL)
        first.communicate()


def test_the_lock_of_a_killed_release_is_taken_over_and_its_work_finished_or_undone(
    release: Releases, deployed: Fleet
) -> None:
    process = deployed.start(release.command(FIRST))
    time.sleep(12)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = release.release(BETTER)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert deployed.serving() == {"app1": BETTER, "app2": BETTER}


def test_rollback_by_hand_goes_to_the_release_before(release: Releases, deployed: Fleet) -> None:
    done = deployed.launchgate("rollback", INVENTORY, "--allow-unimplemented", "--out", release.out / "back")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert deployed.serving() == {"app1": FIRST, "app2": FIRST}
