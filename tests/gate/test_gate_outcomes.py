"""Every outcome, from a check file to report and exit code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import defusedxml.ElementTree as ET
import jsonschema
import pytest

from checks.gate.reports import SCHEMA_FILE

if TYPE_CHECKING:
    from conftest import Bench


def test_a_green_check_on_every_machine_opens_the_gate(green: Bench) -> None:
    ran = green.run_process()
    assert ran.rc == 0, ran.text
    assert ran.report["gate"] == "open"
    assert ran.item("T-APP-1")["hosts"] == ["app1", "app2"]
    assert ran.report["totals"]["PASS"] == 1
    assert "gate OPEN (exit 0)" in ran.text


def test_the_report_has_the_shape_of_its_schema(green: Bench) -> None:
    green.items("T-APP-2", "T-APP-3")
    ran = green.run()
    jsonschema.validate(ran.report, json.loads(SCHEMA_FILE.read_text()))
    page = (green.out / "report.html").read_text()
    assert "Gate closed" in page
    assert "T-APP-3" in page
    assert "src=" not in page, "the page must not need anything else"
    suite = ET.parse(green.out / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "2", "0")


def test_one_red_machine_makes_the_item_fail_and_says_which(green: Bench) -> None:
    green.items("T-APP-2")
    green.file(
        "check_second.py",
        """
        @item("T-APP-2", on="app")
        def check_name(machine, evidence):
            seen = machine.run("echo $HOST").stdout.strip()
            evidence.expect(looked_at="name", observed=seen, expected="app1")
        """,
    )
    ran = green.run()
    assert ran.rc == 1
    assert ran.outcome("T-APP-2") == "FAIL"
    assert ran.item("T-APP-2")["reason"] == "app2: name: saw app2; wanted app1"
    assert "cure: Mend T-APP-2." in ran.text
    assert [seen["holds"] for seen in ran.item("T-APP-2")["evidence"]] == [True, False]


def test_an_item_without_a_check_is_not_implemented(green: Bench) -> None:
    green.items("T-APP-9")
    ran = green.run()
    assert (ran.rc, ran.outcome("T-APP-9")) == (1, "FAIL")
    assert ran.item("T-APP-9")["reason"] == "not implemented"


def test_unimplemented_items_are_let_through_only_on_order_and_loudly(green: Bench) -> None:
    green.items("T-APP-9")
    ran = green.run("--allow-unimplemented")
    assert ran.rc == 0
    assert ran.outcome("T-APP-9") == "FAIL"
    assert ran.report["unimplemented"] == 1
    assert "NOT IMPLEMENTED  1 of 2 items" in ran.text
    assert "1 items are not implemented" in (green.out / "report.html").read_text()


def test_a_gate_that_looked_at_nothing_stays_closed_whatever_is_allowed(bench: Bench) -> None:
    bench.items("T-APP-9")
    ran = bench.run("--allow-unimplemented")
    assert ran.rc == 5
    assert "nothing was looked at" in ran.text


def test_not_applicable_needs_a_predicate_and_what_the_machine_answered(bench: Bench) -> None:
    bench.items("T-APP-1", "T-APP-2")
    bench.file(
        "check_kernel.py",
        """
        @item("T-APP-1", on="app")
        def check_one(machine, evidence):
            raise NotApplicable("systemd-detect-virt", machine.run("echo container").stdout)

        @item("T-APP-2", on="app")
        def check_two(machine, evidence):
            raise NotApplicable("systemd-detect-virt", "")
        """,
    )
    ran = bench.run()
    assert ran.outcome("T-APP-1") == "NOT_APPLICABLE"
    assert "container" in ran.item("T-APP-1")["reason"]
    assert (ran.rc, ran.outcome("T-APP-2")) == (5, "ERROR")


def test_a_look_that_failed_wins_over_a_failure(green: Bench) -> None:
    green.items("T-APP-2", "T-APP-3")
    green.file(
        "check_more.py",
        """
        @item("T-APP-2", on=None)
        def check_two(evidence):
            evidence.that(False, looked_at="it", observed=1, expected=2)

        @item("T-APP-3", on=None)
        def check_three(evidence):
            raise CouldNotLook("fog")
        """,
    )
    ran = green.run()
    assert ran.rc == 5
    assert (ran.outcome("T-APP-2"), ran.outcome("T-APP-3")) == ("FAIL", "ERROR")
    assert ran.item("T-APP-3")["hosts"] == ["control"]
    suite = ET.parse(green.out / "junit.xml").getroot()[0]
    assert (suite.get("failures"), suite.get("errors")) == ("1", "1")


def test_one_check_may_decide_two_items_and_one_item_have_two_checks(bench: Bench) -> None:
    bench.items("T-APP-1", "T-APP-2")
    bench.file(
        "check_both.py",
        """
        @item("T-APP-1", "T-APP-2", on="app")
        def check_first(machine, evidence):
            evidence.expect(looked_at="a", observed=1, expected=1)

        @item("T-APP-1", on="db")
        def check_second(machine, evidence):
            evidence.expect(looked_at="b", observed=1, expected=2)
        """,
    )
    ran = bench.run()
    assert (ran.outcome("T-APP-1"), ran.outcome("T-APP-2")) == ("FAIL", "PASS")
    assert ran.item("T-APP-1")["hosts"] == ["app1", "app2", "db1"]


def test_only_the_items_of_the_phase_are_asked(green: Bench) -> None:
    green.items("T-APP-2", phase="post", also='["rollback"]')
    ran = green.run("--phase", "pre")
    assert [one["id"] for one in ran.report["items"]] == ["T-APP-1"]
    ran = green.run("--phase", "rollback", "--item", "T-APP-2")
    assert [one["id"] for one in ran.report["items"]] == ["T-APP-2"]


def test_a_chosen_item_runs_alone(green: Bench) -> None:
    green.items("T-APP-2")
    ran = green.run("--item", "T-APP-1")
    assert ran.rc == 0
    assert len(ran.report["items"]) == 1


def test_the_same_command_is_run_once_a_machine(bench: Bench) -> None:
    bench.items("T-APP-1", "T-APP-2")
    bench.file(
        "check_twice.py",
        """
        @item("T-APP-1", on="app")
        def check_one(machine, evidence):
            evidence.that(machine.run("echo once").ok, looked_at="echo", observed=0, expected=0)

        @item("T-APP-2", on="app")
        def check_two(machine, evidence):
            evidence.that(machine.run("echo once").ok, looked_at="echo", observed=0, expected=0)
        """,
    )
    assert bench.run().rc == 0
    assert sum("echo once" in line for line in bench.log()) == 2


def test_fixtures_hand_over_what_a_check_needs(bench: Bench) -> None:
    bench.items("T-APP-1")
    (bench.root / "manifest.json").write_text(
        json.dumps({"version": "1.0.0", "commit": "c", "tree": "t", "digest": "d"})
    )
    (bench.root / "load.json").write_text(json.dumps({"achieved": 50.0, "endpoints": {}}))
    bench.file(
        "check_fixtures.py",
        """
        @item("T-APP-1", on="all")
        def check_all(machine, inventory, release, load_result, evidence_dir, fleet, testinfra_host, evidence):
            evidence.expect(looked_at="role", observed=fleet.named(machine.name).roles, expected=machine.roles)
            evidence.expect(looked_at="release", observed=release["version"], expected="1.0.0")
            evidence.expect(looked_at="load", observed=load_result["achieved"], expected=50.0)
            evidence.expect(looked_at="evidence", observed=evidence_dir.name, expected="evidence")
            said = testinfra_host.run("echo $HOST").stdout.strip()
            evidence.expect(looked_at="testinfra", observed=said, expected=machine.name)
        """,
    )
    ran = bench.run(
        "--release-manifest", str(bench.root / "manifest.json"), "--merge-load", str(bench.root / "load.json")
    )
    assert ran.rc == 0, ran.text
    assert ran.report["release"] == {"version": "1.0.0", "commit": "c", "digest": "d"}
    assert ran.item("T-APP-1")["hosts"] == ["lb1", "app1", "app2", "db1", "cache1"]


@pytest.mark.parametrize("fixture", ["load_result", "edge"])
def test_a_fixture_that_has_nothing_to_show_is_a_look_that_failed(bench: Bench, fixture: str) -> None:
    bench.items("T-APP-1")
    bench.file(
        "check_load.py",
        f"""
        @item("T-APP-1", on=None)
        def check_load({fixture}, evidence):
            evidence.expect(looked_at="x", observed=1, expected=1)
        """,
    )
    ran = bench.run()
    assert (ran.rc, ran.outcome("T-APP-1")) == (5, "ERROR")
    assert "could not look" in ran.item("T-APP-1")["reason"]


def test_load_timeline_and_proof_are_shown(green: Bench) -> None:
    files = {
        "load.json": {"achieved": 49.5, "endpoints": {"search": {"p50_ms": 5, "p95_ms": 20, "p99_ms": 40}}},
        "timeline.json": [{"at": "10:00", "step": "build", "seconds": 3.5}, {"odd": 1}],
        "proof.json": {
            "items": [{"id": "T-APP-1", "sabotages": [{"verdict": "KILLED"}, {"verdict": "VOID"}]}]
        },
    }
    for name, content in files.items():
        (green.root / name).write_text(json.dumps(content))
    ran = green.run(
        "--merge-load", str(green.root / "load.json"), "--timeline", str(green.root / "timeline.json"),
        "--proof", str(green.root / "proof.json"),
    )  # fmt: skip
    assert ran.rc == 0
    assert ran.item("T-APP-1")["proof"] == {"sabotages": 2, "killed": 1}
    page = (green.out / "report.html").read_text()
    for shown in ("search", "p95 20.0 ms", "build", "proof 1/2", "49.5"):
        assert shown in page
    jsonschema.validate(ran.report, json.loads(SCHEMA_FILE.read_text()))


def test_what_a_machine_says_cannot_inject_into_the_reports(bench: Bench) -> None:
    bench.items("T-APP-1")
    bench.file(
        "check_hostile.py",
        """
        @item("T-APP-1", on="db")
        def check_hostile(machine, evidence):
            said = machine.run(r"printf '<script>alert(1)</script>\\033[31m'").stdout
            evidence.expect(looked_at="x", observed=said, expected="nothing")
        """,
    )
    assert bench.run().rc == 1
    assert "<script>alert" not in (bench.out / "report.html").read_text()
    assert "script" in ET.parse(bench.out / "junit.xml").getroot()[0][0][0].get("message", "")


def test_long_observations_are_cut_and_say_so(bench: Bench) -> None:
    bench.items("T-APP-1")
    bench.file(
        "check_long.py",
        """
        @item("T-APP-1", on="db")
        def check_long(machine, evidence):
            evidence.note(looked_at="a note", observed="n")
            evidence.that(True, looked_at="x", observed="a" * 5000, expected="")
        """,
    )
    ran = bench.run()
    note, long = ran.item("T-APP-1")["evidence"]
    assert note["holds"] is None
    assert long["observed"].endswith("(5000 characters)")
    assert long["expected"] == "(empty)"
