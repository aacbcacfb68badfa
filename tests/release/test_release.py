"""A release on the toy fleet, from its beginning to each of its ends."""

import json

import pytest
from toy_fleet import Toy, progress

from infra.release.commands import run_release, run_rollback
from infra.release.errors import CouldNotLook, ReleaseError, WrongUse


def released(toy: Toy, version: str, **wishes: object) -> int:
    return run_release(toy.order(version, **wishes), toy.fleet, toy.tools, progress())


def rolled_back(toy: Toy, to: str | None = None) -> int:
    return run_rollback(toy.order("0.0.0"), toy.fleet, toy.tools, progress(), to)


@pytest.fixture
def running(toy: Toy) -> str:
    """1.0.0 is current; returns the name it is installed under."""
    name = toy.build("1.0.0")
    assert released(toy, "1.0.0") == 0
    (toy.directory / "calls").unlink()
    return name


def test_the_first_release_switches_every_host_without_a_canary_and_becomes_current(toy: Toy) -> None:
    name = toy.build("1.0.0")
    assert released(toy, "1.0.0") == 0
    assert toy.serving() == [name, name]
    state = toy.fleet.state.read()
    assert state.current is not None
    assert (state.current.release, state.previous, state.unfinished) == (name, None, None)
    assert not [call for call in toy.calls() if "loadtests.pairs" in call]


def test_a_good_release_goes_through_the_steps_in_the_order_of_its_plan(toy: Toy, running: str) -> None:
    name = toy.build("1.1.0")
    assert released(toy, "1.1.0") == 0
    assert toy.serving() == [name, name]
    current = toy.fleet.state.read()
    assert current.previous is not None
    assert current.previous.release == running
    timeline = json.loads((toy.record() / "timeline.json").read_text())
    assert [step["name"] for step in timeline["steps"]] == [
        "preflight", "platform", "pre", "baseline", "migrate", "stage", "canary", "judge", "switch-app2", "after",
        "post", "remember",
    ]  # fmt: skip
    assert {step["outcome"] for step in timeline["steps"]} == {"done"}
    assert [(one["host"], one["back"]) for one in timeline["switches"]] == [("app1", False), ("app2", False)]
    assert timeline["outcome"] == "released"


def test_a_canary_is_judged_while_the_other_host_keeps_the_old_release(toy: Toy, running: str) -> None:
    toy.build("1.1.0")
    toy.say("judge", 1)
    assert released(toy, "1.1.0") == 4
    assert (toy.directory / "app1" / "switches").read_text().splitlines()[1:] == [
        f"green {toy.fleet.app_hosts[0].status().slots['green'].release}",
        f"blue {running}",
    ]
    assert len((toy.directory / "app2" / "switches").read_text().splitlines()) == 1


def test_a_worse_candidate_is_taken_back_and_that_is_shown_and_written_up(toy: Toy, running: str) -> None:
    toy.build("1.1.0")
    toy.say("judge", 1)
    assert released(toy, "1.1.0", out=toy.directory / "out") == 4
    assert toy.serving() == [running, running]
    state = toy.fleet.state.read()
    assert state.current is not None
    assert (state.current.release, state.unfinished) == (running, None)
    assert [call.split("--phase ")[1].split()[0] for call in toy.calls() if "--phase" in call] == [
        "pre",
        "rollback",
    ]
    assert "loads/restored" in toy.calls()[-2]
    draft = (toy.directory / "out" / "post-mortem.md").read_text()
    assert "verdict FAIL: as the toy said" in draft
    assert "served users on 1 app host(s)" in draft
    outcome = json.loads((toy.directory / "out" / "outcome.json").read_text())
    assert (outcome["ending"], outcome["exit_code"]) == ("rolled back", 4)
    assert outcome["facts"]["restored"] == "checks and load as before the release"


@pytest.mark.usefixtures("running")
def test_what_is_not_as_before_after_going_back_is_said(toy: Toy) -> None:
    toy.build("1.1.0")
    toy.say("judge", 1)
    toy.say("rollback", 1)
    assert released(toy, "1.1.0") == 4
    facts = json.loads((toy.record() / "outcome.json").read_text())["facts"]
    assert "the gate is closed (rollback): TOY-1" in facts["restored"]


@pytest.mark.usefixtures("running")
def test_inconclusive_buys_more_pairs_and_then_passes(toy: Toy) -> None:
    toy.build("1.1.0")
    toy.say("judge", 3, 0)
    assert released(toy, "1.1.0") == 0
    assert len([call for call in toy.calls() if "loadtests.pairs" in call]) == 2
    assert ["--append" in call for call in toy.calls() if "loadtests.pairs" in call] == [False, True]


def test_inconclusive_up_to_the_cap_is_no_pass(toy: Toy, running: str) -> None:
    toy.build("1.1.0")
    toy.say("judge", 3)
    assert released(toy, "1.1.0") == 4
    assert toy.serving() == [running, running]
    assert "INCONCLUSIVE after 4 pairs" in json.loads((toy.record() / "outcome.json").read_text())["reason"]


@pytest.mark.parametrize(
    ("tool", "code", "ending", "exit_code"),
    [
        ("platform", 1, "failed", 1),
        ("pre", 1, "gate closed", 1),
        ("pre", 5, "could not look", 5),
        ("app_stage", 1, "failed", 1),
        ("app_migrate", 1, "failed", 1),
    ],
)
def test_what_fails_before_a_switch_leaves_every_host_untouched(
    toy: Toy, running: str, tool: str, code: int, ending: str, exit_code: int
) -> None:
    toy.build("1.1.0")
    toy.say(tool, code)
    assert released(toy, "1.1.0") == exit_code
    assert json.loads((toy.record() / "outcome.json").read_text())["ending"] == ending
    assert toy.serving() == [running, running]
    assert len((toy.directory / "app1" / "switches").read_text().splitlines()) == 1
    assert toy.fleet.state.read().unfinished is None


@pytest.mark.parametrize(
    ("tool", "codes"), [("post", (1,)), ("post", (5,)), ("pairs", (2,)), ("judge", (2,)), ("run", (0, 9, 9))]
)
def test_what_fails_after_a_switch_takes_every_host_back(
    toy: Toy, running: str, tool: str, codes: tuple[int, ...]
) -> None:
    toy.build("1.1.0")
    toy.say(tool, *codes)
    assert released(toy, "1.1.0") == 4
    assert toy.serving() == [running, running]
    state = toy.fleet.state.read()
    assert state.current is not None
    assert (state.current.release, state.unfinished) == (running, None)


def test_a_candidate_that_is_never_ready_is_taken_back(toy: Toy, running: str) -> None:
    name = toy.build("1.1.0")
    (toy.directory / "app2" / f"broken-{name}").touch()
    assert released(toy, "1.1.0") == 4
    assert toy.serving() == [running, running]


def test_a_first_release_that_fails_leaves_nothing_current(toy: Toy) -> None:
    toy.build("1.0.0")
    toy.say("post", 1)
    assert released(toy, "1.0.0") == 1
    assert toy.fleet.state.read().current is None
    assert "nothing to go back to" in json.loads((toy.record() / "outcome.json").read_text())["reason"]


def test_a_host_that_cannot_go_back_leaves_the_release_unfinished_and_the_next_run_undoes_it(
    toy: Toy, running: str
) -> None:
    toy.build("1.1.0")
    toy.say("post", 1, 0)
    fleet, order, tools = toy.fleet, toy.order("1.1.0"), toy.tools
    original = toy.directory / "tools" / "slot-tool"
    body = original.read_text()
    # app1's switch works twice (there and, for the release before, here) and then no more.
    original.write_text(
        body.replace(
            "[ ! -e down ]",
            '[ ! -e down ] && { [ "$(wc -l < switches 2>/dev/null)" -lt 2 ] || [ "${PWD##*/}" = app2 ]; }',
        )
    )
    (toy.directory / "app1" / "switches").write_text("before\n")
    assert run_release(order, fleet, tools, progress()) == 5
    unfinished = toy.fleet.state.read().unfinished
    assert unfinished is not None
    assert toy.serving()[1] == running
    original.write_text(body)
    assert released(toy, "1.1.0") == 0
    assert toy.fleet.state.read().unfinished is None


def test_releasing_what_is_current_proves_it_again_and_switches_nothing(toy: Toy, running: str) -> None:
    assert released(toy, "1.0.0") == 0
    assert toy.serving() == [running, running]
    assert not [call for call in toy.calls() if "app_stage" in call or "loadtests.pairs" in call]
    assert [call for call in toy.calls() if "--phase post" in call]


@pytest.mark.usefixtures("running")
def test_a_corrupt_artifact_is_one_error_before_anything_changes(toy: Toy) -> None:
    toy.build("1.1.0")
    (toy.directory / "dist" / "1.1.0" / "wheel").write_text("evil")
    with pytest.raises(WrongUse, match=r"wheel: corrupt, it differs from its manifest; remove"):
        released(toy, "1.1.0")
    assert toy.calls() == []


def test_hosts_that_were_switched_by_hand_are_an_error_that_names_the_cure(toy: Toy, running: str) -> None:
    toy.build("1.1.0")
    toy.fleet.app_hosts[0].take("1.0.9-handmade")
    toy.fleet.app_hosts[0].serve("1.0.9-handmade")
    with pytest.raises(ReleaseError, match=r"app1 serves 1\.0\.9-handmade.*--to VERSION"):
        released(toy, "1.1.0")
    assert rolled_back(toy, "1.0.0") == 0
    assert toy.serving() == [running, running]


def test_what_pyinfra_alone_deployed_is_adopted_and_gone_back_to(toy: Toy) -> None:
    for host in toy.fleet.app_hosts:
        host.take("0.9.0-deployed")
        host.serve("0.9.0-deployed")
    toy.build("1.0.0")
    toy.say("judge", 1)
    assert released(toy, "1.0.0") == 4
    assert toy.serving() == ["0.9.0-deployed", "0.9.0-deployed"]
    current = toy.fleet.state.read().current
    assert current is not None
    assert current.version == "0.9.0"


def test_the_gate_is_told_of_allowed_gaps_only_when_the_order_allows_them(toy: Toy) -> None:
    toy.build("1.0.0")
    assert released(toy, "1.0.0") == 0
    assert not [call for call in toy.calls() if "--allow-unimplemented" in call]
    assert released(toy, "1.0.0", allow_unimplemented=True) == 0
    assert [call for call in toy.calls() if "--phase pre" in call and "--allow-unimplemented" in call]


def test_rollback_by_hand_returns_to_the_release_before_and_proves_it(toy: Toy, running: str) -> None:
    toy.build("1.1.0")
    assert released(toy, "1.1.0") == 0
    assert rolled_back(toy) == 0
    assert toy.serving() == [running, running]
    state = toy.fleet.state.read()
    assert state.current is not None
    assert (state.current.release, state.unfinished) == (running, None)
    assert [call for call in toy.calls() if "--phase rollback" in call]
    with pytest.raises(WrongUse, match="no release before the current one"):
        rolled_back(toy)


def test_rollback_stages_again_what_a_host_has_lost(toy: Toy, running: str) -> None:
    toy.build("1.1.0")
    assert released(toy, "1.1.0") == 0
    (toy.directory / "app2" / "slot-blue").unlink()
    assert rolled_back(toy, "1.0.0") == 0
    assert toy.serving() == [running, running]


def test_rollback_to_an_unknown_version_is_one_error(toy: Toy, running: str) -> None:
    with pytest.raises(
        WrongUse, match=r"7\.7\.7 is neither current, nor the release before it, nor in any slot"
    ):
        rolled_back(toy, "7.7.7")
    assert toy.serving() == [running, running]


def test_rollback_exits_1_and_names_its_doubts_when_the_checks_are_red(toy: Toy, running: str) -> None:
    toy.build("1.1.0")
    assert released(toy, "1.1.0") == 0
    toy.say("rollback", 1)
    assert rolled_back(toy) == 1
    assert toy.serving() == [running, running]


@pytest.mark.usefixtures("running")
def test_a_machine_that_does_not_answer_is_named_and_nothing_is_changed(toy: Toy) -> None:
    toy.build("1.1.0")
    fleet = toy.fleet
    (toy.directory / "app2").rename(toy.directory / "gone")
    with pytest.raises(CouldNotLook):
        run_release(toy.order("1.1.0"), fleet, toy.tools, progress())
    assert toy.calls() == []


@pytest.mark.usefixtures("running")
def test_a_secret_that_a_tool_prints_does_not_stay_in_the_record(toy: Toy) -> None:
    (toy.directory / "state" / "secrets").mkdir()
    (toy.directory / "state" / "secrets" / "database_password").write_text(
        "disk full\n"
    )  # what the toy's pyinfra prints
    toy.build("1.1.0")
    toy.say("app_stage", 1)
    assert released(toy, "1.1.0") == 1
    kept = [path for path in toy.record().rglob("*") if path.is_file()]
    assert not [path.name for path in kept if "disk full" in path.read_text()]
    assert "[database_password]" in (toy.record() / "timeline.json").read_text()
