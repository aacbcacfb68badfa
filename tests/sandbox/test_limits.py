"""Kernel limits are raised for fleets and put back as they were found."""

from pathlib import Path

import pytest

from infra.sandbox import limits

NAME = "fs/inotify/max_user_instances"


@pytest.fixture
def sysctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAUNCHGATE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(limits, "_SYSCTL", tmp_path / "sys")
    path = tmp_path / "sys" / NAME
    path.parent.mkdir(parents=True)
    path.write_text("128\n")
    return path


def test_a_low_limit_is_raised_and_put_back(sysctl: Path) -> None:
    limits.raise_for_fleets()
    limits.raise_for_fleets()
    assert int(sysctl.read_text()) == 1024
    limits.put_back()
    assert int(sysctl.read_text()) == 128
    limits.put_back()
    assert int(sysctl.read_text()) == 128


def test_a_limit_that_is_high_enough_is_left_alone(sysctl: Path) -> None:
    sysctl.write_text("8192\n")
    limits.raise_for_fleets()
    limits.put_back()
    assert int(sysctl.read_text()) == 8192


def test_what_the_operator_changed_meanwhile_stays(sysctl: Path) -> None:
    limits.raise_for_fleets()
    sysctl.write_text("4096\n")
    limits.put_back()
    assert int(sysctl.read_text()) == 4096
