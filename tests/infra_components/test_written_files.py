"""The script that writes files: atomic, private, all or nothing, undone when the judge refuses."""

import os
import subprocess
from pathlib import Path

import pytest
from pyinfra.api.command import StringCommand

from infra.operations import files
from infra.operations.files import Absent, File, FileStates, Folder, Wanted

OWNER = "root:root" if os.geteuid() == 0 else f"{os.environ.get('USER', 'nobody')}"


def run(command: StringCommand, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """What a machine would do with the operation's command."""
    given = command.connector_arguments["_stdin"] if stdin is None else stdin
    return subprocess.run(
        ["sh", "-c", command.get_raw_value()],
        input=given,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def states(*wanted: Wanted) -> dict[str, str]:
    """What the fact would report."""
    fact = FileStates()
    command = fact.command([item.path for item in wanted])
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=True)
    return fact.process(done.stdout.splitlines())


@pytest.fixture(autouse=True)
def _own_staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "STAGING", str(tmp_path / "staging"))


def test_what_was_written_is_what_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "gone").write_text("old")
    wanted: list[Wanted] = [
        Folder(str(tmp_path / "folder"), mode="700"),
        File(str(tmp_path / "folder/plain"), "text\n"),
        File(str(tmp_path / "deep/er/secret file"), b"\x00\xff", mode="400"),
        Absent(str(tmp_path / "gone")),
    ]
    assert all(states(item)[item.path] != item.state for item in wanted)
    done = run(files.writing(wanted))
    assert done.returncode == 0, done.stderr
    assert states(*wanted) == {item.path: item.state for item in wanted}
    assert (tmp_path / "deep/er/secret file").read_bytes() == b"\x00\xff"
    assert list((tmp_path / "staging").iterdir()) == []


def test_a_changed_mode_or_content_or_a_link_is_seen(tmp_path: Path) -> None:
    wanted = File(str(tmp_path / "file"), "text", mode="640")
    run(files.writing([wanted]))
    path = Path(wanted.path)
    path.chmod(0o644)
    assert states(wanted)[wanted.path] != wanted.state
    path.chmod(0o640)
    path.write_text("other")
    assert states(wanted)[wanted.path] != wanted.state
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert states(wanted)[wanted.path] == "link"


def test_a_set_that_the_judge_refuses_is_undone(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("as it was")
    (tmp_path / "doomed").write_text("still here")
    wanted: list[Wanted] = [
        File(str(tmp_path / "old"), "new"),
        File(str(tmp_path / "fresh"), "new"),
        Absent(str(tmp_path / "doomed")),
    ]
    judge = f"cat {tmp_path}/fresh >/dev/null && echo no good && exit 3"
    done = run(files.writing(wanted, judge))
    assert done.returncode == 1
    assert "no good" in done.stderr
    assert (tmp_path / "old").read_text() == "as it was"
    assert (tmp_path / "doomed").read_text() == "still here"
    assert not (tmp_path / "fresh").exists()


def test_a_connection_that_dies_halfway_writes_nothing(tmp_path: Path) -> None:
    wanted: list[Wanted] = [File(str(tmp_path / f"file{number}"), "x" * 5000) for number in range(5)]
    command = files.writing(wanted)
    whole = str(command.connector_arguments["_stdin"])
    for length in (0, 100, len(whole) // 2, len(whole) - 2):
        assert run(command, whole[:length]).returncode != 0
        assert sorted(path.name for path in tmp_path.iterdir()) == ["staging"]


def test_contents_are_in_no_command_and_no_description(tmp_path: Path) -> None:
    wanted = File(str(tmp_path / "secret"), "correct horse battery staple", mode="400")
    command = files.writing([wanted])
    for text in (command.get_raw_value(), repr(command), str(command), repr(wanted)):
        assert "correct horse" not in text
    assert "correct horse" not in str(command.connector_arguments["_stdin"])
