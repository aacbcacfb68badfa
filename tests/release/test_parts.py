"""The parts of a release one by one: loads, verdict, gate reports, plan, preflight, transport, redaction, records."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from toy_fleet import Toy, progress

from infra.release import gate_report, loads, plan, preflight, transport
from infra.release.errors import CouldNotLook, GateClosed, ReleaseError
from infra.release.fleet import Fleet, Member
from infra.release.journal import Journal
from infra.release.loads import Load, worse
from infra.release.plan import Situation
from infra.release.proof import Proof
from infra.release.record import Record
from infra.release.recover import decide
from infra.release.redaction import Redaction
from infra.release.slots import AppHost
from infra.release.state import FleetState, Known, StateKeeper, Unfinished
from infra.release.timeline import fold
from infra.release.transport import LocalShell, Ssh
from inventories.schema import load_inventory

ROOT = Path(__file__).resolve().parents[2]


# -- loads --------------------------------------------------------------------------------------------------


def load(**changes: Any) -> Load:
    numbers: dict[str, Any] = {"offered": 40.0, "achieved": 40.0, "requests": 320, "errors": 0}
    numbers |= {
        "asked": {"search": 200, "login": 6},
        "p50": {"search": 20.0, "login": 40.0},
        "p95": {"search": 60.0},
    }
    return Load(**{**numbers, **changes})


def test_an_equal_load_is_not_worse_and_neither_is_a_better_one() -> None:
    assert worse(load(), load()) == []
    assert worse(load(p50={"search": 5.0}), load(errors=9)) == []


def test_errors_slowness_and_missed_objectives_are_worse() -> None:
    assert worse(load(errors=8), load()) == ["8 errors in 320 requests (2.50%; before 0.00%)"]
    assert worse(load(p50={"search": 90.0}), load()) == ["search: median 90 ms, before 20 ms"]
    assert worse(load(missed=("search: p95",)), load()) == ["search: p95"]
    assert worse(load(requests=0), load())[0].startswith("0 errors in 0 requests (100.00%")


def test_what_was_as_bad_before_is_no_fault_of_the_candidate() -> None:
    assert worse(load(errors=8), load(errors=8)) == []
    assert worse(load(missed=("search: p95",)), load(missed=("search: p95",))) == []


def test_without_a_before_the_declared_objectives_count() -> None:
    assert worse(load(), None) == []
    assert worse(load(missed=("search: p95",)), None) == ["search: p95"]
    assert worse(load(errors=8), None) == ["8 errors in 320 requests (2.50%; before 0.00%)"]


def test_the_median_of_a_handful_is_chance() -> None:
    assert worse(load(p50={"search": 20.0, "login": 400.0}), load()) == []


@pytest.mark.parametrize("text", ["", "{", "{}", '{"offered": 1}'])
def test_a_load_that_cannot_be_read_is_never_good(tmp_path: Path, text: str) -> None:
    (tmp_path / "load.json").write_text(text)
    with pytest.raises(CouldNotLook, match="no load result that can be read"):
        loads.read(tmp_path)


def test_a_void_load_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "load.json").write_text(json.dumps({"voided": ["the generator was late"]}))
    with pytest.raises(CouldNotLook, match=r"void \(the generator was late\)"):
        loads.read(tmp_path)


def test_a_load_that_is_void_once_is_measured_again(toy: Toy) -> None:
    record = Record.new(
        toy.directory / "state" / "releases", "x", progress(), Redaction(toy.directory / "none")
    )
    proof = Proof(toy.order("1.0.0"), toy.tools, record, None)
    toy.say("run", 40, 0)
    assert proof.load(plan.AFTER, "after", load()).load.errors == 0
    toy.say("run", 40)
    with pytest.raises(GateClosed, match="load `once-more`: 40 errors in 320"):
        proof.load(plan.AFTER, "once-more", load())
    toy.say("run", 0)
    (toy.directory / "tools" / "python").write_text("#!/bin/sh\necho no generator here\nexit 5\n")
    with pytest.raises(CouldNotLook, match=r"could not be made \(exit 5\)\nno generator here"):
        proof.load(plan.AFTER, "none", load())


# -- the gate's report --------------------------------------------------------------------------------------


def test_a_gate_report_is_summed_up_in_few_words(tmp_path: Path) -> None:
    items = [{"id": "A-1", "outcome": "PASS"}, {"id": "A-2", "outcome": "ERROR", "reason": "host down"}]
    items += [{"id": f"B-{n}", "outcome": "FAIL", "reason": "not implemented"} for n in range(3)]
    body = {"gate": "closed", "totals": {"PASS": 1, "ERROR": 1, "FAIL": 3, "WAIVED": 2}, "items": items}
    (tmp_path / "report.json").write_text(json.dumps(body))
    report = gate_report.read(tmp_path)
    assert (report.opened, report.red, report.unimplemented) == (False, ("A-2",), 3)
    assert str(report) == "1 pass · 2 waived · 1 red · 3 not implemented"


def test_no_report_is_could_not_look(tmp_path: Path) -> None:
    with pytest.raises(CouldNotLook, match="no report that can be read"):
        gate_report.read(tmp_path)


# -- deciding about an unfinished release --------------------------------------------------------------------

OLD, NEW = Known("1.0.0-a", "1.0.0"), Known("1.1.0-b", "1.1.0")
BOTH_OLD = {"app1": OLD.release, "app2": OLD.release}
MIXED = {"app1": NEW.release, "app2": OLD.release}


@pytest.mark.parametrize(
    ("current", "stage", "serving", "action", "target"),
    [
        (OLD, None, BOTH_OLD, "nothing", None),
        (OLD, "begun", BOTH_OLD, "forget", OLD),
        (OLD, "switching", BOTH_OLD, "undo", OLD),
        (OLD, "switching", MIXED, "undo", OLD),
        (OLD, "undoing", MIXED, "undo", OLD),
        (OLD, "proven", MIXED, "finish", NEW),
        (None, None, {"app1": None, "app2": None}, "nothing", None),
        (None, "begun", {"app1": None, "app2": None}, "forget", None),
        (None, "switching", {"app1": NEW.release, "app2": None}, "forget", None),
        (None, "proven", {"app1": NEW.release, "app2": NEW.release}, "finish", NEW),
    ],
)
def test_what_is_done_follows_from_the_stage(
    current: Known | None, stage: Any, serving: dict[str, str | None], action: str, target: Known | None
) -> None:
    unfinished = Unfinished(NEW, stage, "record", "mia", "noon") if stage else None
    decision = decide(FleetState(current, None, unfinished), serving)
    assert (decision.action, decision.target) == (action, target)


def test_a_fleet_without_a_record_takes_what_all_hosts_serve_as_current() -> None:
    decision = decide(FleetState(known=False), BOTH_OLD)
    assert (decision.action, decision.target) == ("adopt", OLD)
    assert decide(FleetState(known=False), MIXED).action == "nothing"


def test_a_state_that_cannot_be_read_is_an_error_with_two_cures(tmp_path: Path) -> None:
    keeper = StateKeeper(LocalShell("ops1", tmp_path), str(tmp_path))
    for text in ("{", '{"schema": 2}', '{"schema": 1}'):
        (tmp_path / "state.json").write_text(text)
        with pytest.raises(CouldNotLook, match=r"not a fleet state .* restore it .* or remove it"):
            keeper.read()
    (tmp_path / "blocked").write_text("")
    with pytest.raises(CouldNotLook, match="cannot write"):
        StateKeeper(LocalShell("ops1", tmp_path), str(tmp_path / "blocked")).write(FleetState())


# -- plan ---------------------------------------------------------------------------------------------------


def test_the_plan_of_a_first_release_has_no_canary_and_says_that_there_is_no_way_back() -> None:
    situation = Situation(("app1", "app2"), None, "1.0.0-a")
    names = [step.name for step in plan.steps(situation)]
    assert "canary" not in names
    assert "baseline" not in names
    assert names[-4:] == ["switch-app2", "after", "post", "remember"]
    assert "no way back" in plan.shown(situation, plan.steps(situation))[0]


def test_a_fleet_of_one_app_host_is_switched_without_a_pair_to_compare() -> None:
    names = [step.name for step in plan.steps(Situation(("app1",), "1.0.0-a", "1.1.0-b"))]
    assert "judge" not in names
    assert "switch-app1" in names


def test_the_plan_says_where_it_goes_back_to() -> None:
    situation = Situation(("app1", "app2"), "1.0.0-a", "1.1.0-b")
    lines = plan.shown(situation, plan.steps(situation))
    assert lines[0] == "release 1.1.0-b, from 1.0.0-a"
    assert "switch back to 1.0.0-a" in lines[-1]
    again = Situation(("app1", "app2"), "1.0.0-a", "1.0.0-a")
    assert "already current" in plan.shown(again, plan.steps(again))[-1]


# -- preflight ----------------------------------------------------------------------------------------------


def member(tmp_path: Path, *roles: str) -> Member:
    return Member(LocalShell("here", tmp_path), roles)


def test_a_machine_with_room_and_free_ports_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "ROOM_MIB", 1)
    preflight.look([member(tmp_path)])


def test_a_full_disk_is_named_with_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "ROOM_MIB", 10**9)
    with pytest.raises(
        ReleaseError, match=r"here: only \d+ MiB free on /, a release needs 1000000000; make room"
    ):
        preflight.look([member(tmp_path)])


def test_a_stranger_on_our_port_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        monkeypatch.setattr(preflight, "PORTS", {"lb": {port: ("nginx",)}})
        with pytest.raises(
            ReleaseError, match=rf"here: port {port} is taken by `.+`; stop it, nginx must listen there"
        ):
            preflight.look([member(tmp_path, "lb")])
    preflight.look([member(tmp_path, "lb")])


def test_all_machines_that_do_not_answer_are_named_at_once(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host *\n  HostName 127.0.0.1\n  Port 1\n")
    with pytest.raises(CouldNotLook, match=r"a1: unreachable by SSH .*; a2: unreachable"):
        preflight.look([Member(Ssh("a1", config), ()), Member(Ssh("a2", config), ())])


def test_disks_that_cannot_be_looked_at_are_no_full_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "_LOOK", "true %s")
    with pytest.raises(ReleaseError, match="its disks could not be looked at"):
        preflight.look([member(tmp_path)])


# -- transport ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("admin@10.0.0.1: Permission denied (publickey).", "wrong SSH key or user"),
        ("Warning: x\nHost key verification failed.", "host key is not the known one"),
        ("ssh: connect to host a port 22: Connection refused", "unreachable by SSH"),
        ("ssh: Could not resolve hostname a: Name or service not known", "does not resolve"),
        ("kex_exchange_identification: banner", "SSH failed"),
    ],
)
def test_a_failure_of_ssh_is_named_by_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, told: str
) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\nprintf '%s\\n' '{said}' >&2\nexit 255\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(CouldNotLook, match=f"app1: .*{told}"):
        Ssh("app1", tmp_path / "config").run("true")


def test_a_login_without_sudo_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(CouldNotLook, match="no sudo without a password"):
        Ssh("app1", tmp_path / "config").run("true", sudo=True)
    assert Ssh("app1", tmp_path / "config").run("true").rc == 1


def test_a_command_that_hangs_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(CouldNotLook, match="here: no answer within 0 s"):
        LocalShell("here", tmp_path).run("sleep 30", timeout=0.2)


def test_a_missing_ssh_client_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CouldNotLook, match="ssh is not installed here"):
        Ssh("app1", tmp_path / "config").run("true")


def test_why_ssh_failed_keeps_the_clients_own_words() -> None:
    assert "something odd" in transport._why_ssh_failed("something odd\n")


# -- slots and fleet ------------------------------------------------------------------------------------------


def test_a_slot_tool_that_says_nonsense_or_fails_is_could_not_look(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    for body, told in (
        ("echo nonsense", "said no JSON"),
        ("echo no bus >&2; exit 1", "failed: no bus"),
        ("echo []", "no JSON"),
    ):
        tool.write_text(f"#!/bin/sh\n{body}\n")
        tool.chmod(0o755)
        with pytest.raises(CouldNotLook, match=told):
            AppHost(LocalShell("app1", tmp_path), str(tool)).status()


def test_a_host_without_the_tool_serves_nothing_and_cannot_be_switched(tmp_path: Path) -> None:
    bare = AppHost(LocalShell("app1", tmp_path), str(tmp_path / "absent"))
    assert bare.status().release is None
    with pytest.raises(ReleaseError, match=r"app1: no slot holds 1\.0\.0-a; stage it first"):
        bare.serve("1.0.0-a")


def test_the_fleet_of_an_inventory_keeps_its_lock_on_the_first_ops_machine() -> None:
    fleet = Fleet.of(load_inventory(ROOT / "inventories" / "staging.py"))
    assert "ops" in next(one.roles for one in fleet.members if one.name == fleet.keeper.name)
    assert [host.name for host in fleet.app_hosts] == [
        one.name for one in fleet.members if "app" in one.roles
    ]


# -- records ----------------------------------------------------------------------------------------------------


def test_a_journal_survives_a_line_that_was_cut_short(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    assert journal.read() == []
    journal.append("begun", by="mia")
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"event": "step be')
    assert [line["event"] for line in journal.read()] == ["begun"]


def test_a_step_that_never_ended_is_still_running_in_the_timeline() -> None:
    events = [
        {"at": "2026-01-01T00:00:00+00:00", "event": "begun", "inventory": "x"},
        {
            "at": "2026-01-01T00:00:01+00:00",
            "event": "step begun",
            "id": 1,
            "name": "pre",
            "title": "t",
            "log": "l",
        },
        {
            "at": "2026-01-01T00:00:03.500+00:00",
            "event": "step ended",
            "id": 1,
            "outcome": "done",
            "detail": "d",
        },
        {
            "at": "2026-01-01T00:00:04+00:00",
            "event": "step begun",
            "id": 2,
            "name": "post",
            "title": "t",
            "log": "l",
        },
        {"at": "2026-01-01T00:00:05+00:00", "event": "failed", "reason": "r"},
    ]
    timeline = fold(events)
    assert [(step["name"], step["outcome"], step["seconds"]) for step in timeline["steps"]] == [
        ("pre", "done", 2.5),
        ("post", "running", None),
    ]
    assert timeline["outcome"] == "running"
    assert timeline["notes"][0]["reason"] == "r"


def test_two_records_of_the_same_second_lie_beside_each_other(tmp_path: Path) -> None:
    made = {
        Record.new(tmp_path, "1.0.0", progress(), Redaction(tmp_path / "none")).directory for _ in range(3)
    }
    assert len(made) == 3


def test_secrets_are_blotted_out_longest_first_and_short_words_stay(tmp_path: Path) -> None:
    (tmp_path / "jwt_secret").write_text("s3cret-value-long\n")
    (tmp_path / "password").write_text("s3cret-value\n")
    (tmp_path / "short").write_text("on\n")
    redaction = Redaction(tmp_path)
    assert redaction.cleaned("s3cret-value-long on s3cret-value") == "[jwt_secret] on [password]"
    log = tmp_path.parent / "log"
    redaction.clean(log)
    log.write_text("x s3cret-value y")
    redaction.clean(log)
    assert log.read_text() == "x [password] y"
