"""Processes are found again by id and start time, so that a reused id is never mistaken for ours."""

import dataclasses
import signal
from pathlib import Path

import pytest

from infra.sandbox import locations
from infra.sandbox.errors import SandboxError
from infra.sandbox.processes import Running, spawn


def test_a_record_survives_being_written_and_read(tmp_path: Path) -> None:
    running = spawn(["sleep", "30"], log=tmp_path / "log", note="42")
    try:
        running.write(tmp_path / "record.json")
        assert Running.read(tmp_path / "record.json") == running
        assert running.alive()
    finally:
        running.end()
    assert not running.alive()


def test_another_process_with_the_same_id_is_not_ours(tmp_path: Path) -> None:
    running = spawn(["sleep", "30"], log=tmp_path / "log")
    try:
        impostor = dataclasses.replace(running, started=running.started + 1)
        earlier_boot = dataclasses.replace(running, boot="another")
        assert not impostor.alive()
        assert not earlier_boot.alive()
        impostor.end(gentle=signal.SIGKILL)
        assert running.alive()
    finally:
        running.end()


def test_one_that_ignores_the_gentle_signal_is_killed(tmp_path: Path) -> None:
    running = spawn(["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"], log=tmp_path / "log")
    running.end(patience=0.5)
    assert not running.alive()


@pytest.mark.parametrize("text", ["", "{", '{"pid": 1}', "[]", '{"pid":1,"started":2,"boot":"b","odd":3}'])
def test_a_torn_record_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / "record.json").write_text(text)
    assert Running.read(tmp_path / "record.json") is None


@pytest.mark.parametrize("name", ["", "Demo", "a-b", "1a", "toolongname", "../x"])
def test_a_fleet_name_that_fits_no_link_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("LAUNCHGATE_FLEET", name)
    with pytest.raises(SandboxError, match="LAUNCHGATE_FLEET"):
        locations.fleet_name()
