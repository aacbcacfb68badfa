"""The shared operations, run by a shell on this computer: they act when something differs, and only then."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.command import StringCommand
from pyinfra.context import ctx_host

from infra.operations import packages, states, units

SYSTEMCTL = """#!/bin/sh
echo "$*" >>"$UNITS/log"
case "$1" in
  show) cat "$UNITS/state" ;;
  enable) sed -i s/disabled/enabled/ "$UNITS/state" ;;
  restart) [ ! -e "$UNITS/refuses" ] || exit 1; sed -i s/inactive/active/ "$UNITS/state" ;;
esac
"""


class ThisComputer:
    """Facts and commands of an operation, answered by a shell here."""

    def get_fact(self, fact: type, *arguments: Any) -> Any:
        """The fact, looked up for real."""
        shell = ["sh", "-c", fact().command(*arguments)]
        done = subprocess.run(shell, capture_output=True, text=True, timeout=30, check=True)
        return fact().process(done.stdout.splitlines())

    def run(self, operation: Any, *arguments: Any, **named: Any) -> list[subprocess.CompletedProcess[str]]:
        """The operation's commands, run; an empty list means that it changed nothing."""
        done = []
        with ctx_host.use(self):
            for command in operation._inner(*arguments, **named):
                assert isinstance(command, StringCommand)
                done.append(
                    subprocess.run(
                        ["sh", "-c", command.get_raw_value()],
                        input=command.connector_arguments.get("_stdin"),
                        capture_output=True,
                        text=True,
                        timeout=30,
                        check=False,
                    )
                )
        return done


@pytest.fixture
def computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThisComputer]:
    """This computer, with stamps in a folder of the test's own and systemd's part played by a script."""
    monkeypatch.setattr(states, "STAMPS", str(tmp_path / "states"))
    monkeypatch.setattr(units, "STAMPS", str(tmp_path / "units/stamps"))
    (tmp_path / "units").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/systemctl").write_text(SYSTEMCTL)
    (tmp_path / "bin/systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setenv("UNITS", str(tmp_path / "units"))
    (tmp_path / "units/state").write_text(
        "ActiveState=inactive\nUnitFileState=disabled\nNeedDaemonReload=no\n"
    )
    return ThisComputer()


def reach(computer: ThisComputer, folder: Path, wanted: str = "one", apply: str | None = None) -> list[int]:
    """Exit codes of what had to be run to have the word in the file."""
    file = folder / "file"
    commands = computer.run(
        states.reached,
        key="a key",
        wanted=wanted,
        observe=f"cat {file}",
        apply=apply or f"cat >{file}",
        stdin=wanted,
    )
    return [done.returncode for done in commands]


def test_a_state_is_reached_once_and_then_left_alone(computer: ThisComputer, tmp_path: Path) -> None:
    assert reach(computer, tmp_path) == [0]
    assert (tmp_path / "file").read_text() == "one"
    assert reach(computer, tmp_path) == []


def test_a_new_wish_or_a_change_by_hand_is_acted_on(computer: ThisComputer, tmp_path: Path) -> None:
    reach(computer, tmp_path)
    assert reach(computer, tmp_path, wanted="two") == [0]
    (tmp_path / "file").write_text("by hand")
    assert reach(computer, tmp_path, wanted="two") == [0]
    assert (tmp_path / "file").read_text() == "two"
    assert reach(computer, tmp_path, wanted="two") == []


def test_a_script_that_fails_is_tried_again(computer: ThisComputer, tmp_path: Path) -> None:
    failing = f"echo half >{tmp_path}/file; false"
    assert reach(computer, tmp_path, apply=failing) == [1]
    assert reach(computer, tmp_path, apply=failing) == [1]
    assert reach(computer, tmp_path) == [0]
    assert reach(computer, tmp_path) == []


def test_the_stamp_holds_no_wish_in_plain_text(computer: ThisComputer, tmp_path: Path) -> None:
    reach(computer, tmp_path, wanted="correct horse")
    stamp = tmp_path / "states" / "a key"
    assert "correct horse" not in stamp.read_text()
    assert stamp.stat().st_mode & 0o077 == 0


def verbs(tmp_path: Path) -> list[str]:
    """What systemctl was asked to do since the last look."""
    log = tmp_path / "units/log"
    asked = [
        line.split()[0] for line in log.read_text().splitlines() if not line.startswith(("show", "status"))
    ]
    log.write_text("")
    return asked


def test_a_unit_is_enabled_and_started_once(computer: ThisComputer, tmp_path: Path) -> None:
    (tmp_path / "conf").write_text("a")
    run = {"unit": "x.service", "restart_on": [f"{tmp_path}/conf"]}
    assert len(computer.run(units.running, **run)) == 1
    assert verbs(tmp_path) == ["daemon-reload", "enable", "restart"]
    assert computer.run(units.running, **run) == []


def test_a_unit_follows_its_files_even_when_the_run_that_wrote_them_died(
    computer: ThisComputer, tmp_path: Path
) -> None:
    (tmp_path / "hard.conf").write_text("a")
    (tmp_path / "soft.conf").write_text("a")
    run = {
        "unit": "x.service",
        "restart_on": [f"{tmp_path}/hard.conf"],
        "reload_on": [f"{tmp_path}/so*.conf"],
    }
    computer.run(units.running, **run)
    verbs(tmp_path)
    (tmp_path / "soft.conf").write_text("b")
    computer.run(units.running, **run)
    assert verbs(tmp_path) == ["daemon-reload", "reload-or-restart"]
    (tmp_path / "hard.conf").write_text("b")
    computer.run(units.running, **run)
    assert verbs(tmp_path) == ["daemon-reload", "restart"]
    assert computer.run(units.running, **run) == []


def test_a_unit_that_does_not_start_is_an_error_and_tried_again(
    computer: ThisComputer, tmp_path: Path
) -> None:
    (tmp_path / "units/refuses").touch()
    assert [done.returncode for done in computer.run(units.running, unit="x.service")] == [1]
    (tmp_path / "units/refuses").unlink()
    assert [done.returncode for done in computer.run(units.running, unit="x.service")] == [0]
    assert computer.run(units.running, unit="x.service") == []


def test_packages_are_installed_behind_a_guard_that_always_goes_away() -> None:
    script = packages._script(["nginx", "it's"], "unstable")
    assert "trap 'rm -f /usr/sbin/policy-rc.d' EXIT" in script.replace("'\"'\"'", "'")
    assert "-t unstable" in script
    assert "--no-install-recommends" in script
    assert subprocess.run(["sh", "-n", "-c", script], timeout=10, check=False).returncode == 0
    states_seen = packages.PackageStates().process(
        ["nginx installed", "redis half-configured", "policy-rc.d left"]
    )
    assert states_seen == {"nginx": "installed", "redis": "half-configured", "policy-rc.d": "left"}
