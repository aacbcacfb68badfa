"""What a person types: `build`, `release`, `rollback`, `demo`, each with its exit code and its one line of error."""

import json
from pathlib import Path

import pytest
from toy_fleet import Toy, progress
from typer.testing import CliRunner

from infra.release import commands
from infra.release.artifact import open_artifact
from infra.release.commands import app, run_release
from infra.release.demo import bad_version, story
from infra.release.errors import ReleaseError
from infra.release.source import git
from infra.release.state import FleetState, Known, Unfinished
from infra.release.tools import Tools


@pytest.fixture
def typed(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The toy fleet behind the command line."""
    tools = toy.tools
    monkeypatch.setattr(commands, "_fleet", lambda _path: toy.fleet)
    monkeypatch.setattr(commands, "Tools", lambda inventory: Tools(inventory, tools.root, tools.python))
    monkeypatch.setattr(commands, "DIST", toy.directory / "dist")
    return toy


def run(*words: str) -> tuple[int, str]:
    answer = CliRunner().invoke(app, list(words), catch_exceptions=False)
    return answer.exit_code, answer.output


def test_build_says_digest_commit_and_place(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "DIST", tmp_path / "dist")
    code, said = run("build", "--version", "1.2.3", "--source", str(checkout))
    assert code == 0
    assert open_artifact(tmp_path / "dist" / "1.2.3").digest in said.replace("\n", "").replace(
        " ", ""
    ).replace("│", "")


def test_release_and_rollback_answer_with_their_exit_codes(typed: Toy) -> None:
    first = typed.build("1.0.0")
    typed.build("1.1.0")
    typed.build("1.2.0")
    words = ("--source", str(typed.directory / "source"))
    assert run("release", "toy.py", "--version", "1.0.0", *words)[0] == 0
    assert run("release", "toy.py", "--version", "1.1.0", *words)[0] == 0
    typed.say("judge", 1)
    code, said = run("release", "toy.py", "--version", "1.2.0", "--out", str(typed.directory / "out"), *words)
    assert code == 4
    assert "verdict FAIL" in said
    assert (
        json.loads((typed.directory / "out" / "report.json").read_text())["timeline"][-1]["name"]
        == "rollback"
    )
    assert run("rollback", "toy.py")[0] == 0
    assert typed.serving() == [first, first]


def test_a_dry_run_prints_the_plan_and_changes_nothing(typed: Toy) -> None:
    typed.build("1.0.0")
    code, said = run("release", "toy.py", "--version", "1.0.0", "--dry-run")
    assert code == 0
    assert "the first release on this fleet" in said
    assert "switch app2" in said
    assert typed.calls() == []
    assert not (typed.directory / "ops1" / "release").exists()
    assert not (typed.directory / "state" / "releases").exists()


def test_a_dry_run_tells_of_an_unfinished_release(typed: Toy) -> None:
    old = Known("1.0.0-a", "1.0.0")
    unfinished = Unfinished(Known("1.1.0-b", "1.1.0"), "switching", "r", "mia", "noon")
    typed.fleet.state.write(FleetState(old, None, unfinished))
    code, said = run("release", "toy.py", "--version", "1.2.0", "--dry-run")
    assert code == 0
    assert "first: finish or undo the unfinished release of 1.1.0" in said


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("release", "nowhere.py"), 2, "no such inventory file"),
        (("release", "nowhere.py", "--version", "one"), 2, "no such inventory file"),
        (("build", "--version", "one"), 2, "not a release number"),
        (("build", "--source", "/"), 2, "no service/ in it"),
        (("rollback", "nowhere.py"), 2, "no such inventory file"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_2(words: tuple[str, ...], code: int, told: str) -> None:
    ended, said = run(*words)
    assert (ended, told in said.replace("\n", " ")) == (code, True)


def test_a_machine_that_is_down_is_exit_5(typed: Toy) -> None:
    typed.build("1.0.0")
    (typed.directory / "ops1").rename(typed.directory / "gone")
    assert run("release", "toy.py", "--version", "1.0.0", "--source", str(typed.directory / "source"))[0] == 5


# -- the demo -------------------------------------------------------------------------------------------------


@pytest.fixture
def stage(typed: Toy, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Toy, Path]:
    """The toy fleet and a small service with a bad version, for the demo."""
    (checkout / "service" / "search_api" / "__init__.py").write_text("broken_under_load = True\n")
    patch = typed.directory / "bad.patch"
    patch.write_text(git(checkout, "diff"))
    git(checkout, "checkout", "--quiet", ".")
    monkeypatch.setattr(bad_version, "PATCH", patch)
    return typed, checkout


def demo(toy: Toy, checkout: Path) -> int:
    shown = progress()
    return story.tell(
        toy.tools,
        checkout,
        toy.directory / "dist",
        shown,
        lambda: toy.fleet,
        run_release,
        toy.directory / "state",
    )


def test_the_demo_releases_twice_and_takes_the_third_back_and_can_be_run_again(
    stage: tuple[Toy, Path],
) -> None:
    toy, checkout = stage
    for _ in range(2):
        toy.say("judge", 0, 1)
        if toy.fleet.state.read().current is not None:
            toy.say("judge", 0, 0, 1)  # the second time 1.0.0 is judged too, for 1.1.0 runs
        assert demo(toy, checkout) == 0
        current = toy.fleet.state.read().current
        assert current is not None
        assert current.version == "1.1.0"
        assert toy.serving() == [current.release] * 2
    assert sorted(path.name for path in (toy.directory / "dist").iterdir()) == ["1.0.0", "1.1.0", "1.2.0"]


def test_the_demo_moves_on_to_new_versions_when_the_source_has_changed(stage: tuple[Toy, Path]) -> None:
    toy, checkout = stage
    toy.say("judge", 0, 1)
    assert demo(toy, checkout) == 0
    (checkout / "service" / "search_api" / "more.py").write_text("x = 1\n")
    toy.say("judge", 0, 0, 1)
    assert demo(toy, checkout) == 0
    assert (toy.directory / "dist" / "1.2.1").is_dir()


def test_the_demo_is_not_well_when_a_request_was_lost(stage: tuple[Toy, Path]) -> None:
    toy, checkout = stage
    toy.say("judge", 0, 1)
    toy.say("prober", 1)
    assert demo(toy, checkout) == 1


def test_the_demo_stops_when_the_bad_version_is_not_noticed(stage: tuple[Toy, Path]) -> None:
    toy, checkout = stage
    with pytest.raises(ReleaseError, match=r"the release of 1\.2\.0 ended with exit 0, not 4"):
        demo(toy, checkout)


def test_the_demo_stops_when_the_fleet_does_not_come_up(stage: tuple[Toy, Path]) -> None:
    toy, checkout = stage
    toy.say("cli", 5)
    with pytest.raises(ReleaseError, match="the fleet did not come up"):
        demo(toy, checkout)


def test_a_prober_that_leaves_no_account_ends_the_demo(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("no key\n")
    with pytest.raises(ReleaseError, match=r"the prober left no account .* it said: no key"):
        story._read(tmp_path / "none", tmp_path / "log")
