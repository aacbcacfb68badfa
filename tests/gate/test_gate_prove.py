"""The prove engine: every verdict, the way back, and what it writes down. Machines are directories with files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from checks.gate import prove

if TYPE_CHECKING:
    from conftest import Bench

CHECKS = """
def look(machine, evidence, name):
    seen = machine.run(f"cat {name}").stdout.strip()
    evidence.that(seen in ("on", "ON"), looked_at=name, observed=seen, expected="on")

@item("T-APP-1", on="app")
def check_gzip(machine, evidence):
    look(machine, evidence, "gzip")

@item("T-APP-2", on="app")
def check_port(machine, evidence):
    look(machine, evidence, "port")

@item("T-APP-3", on="db")
def check_always_red(machine, evidence):
    look(machine, evidence, "nothing")
"""
SABOTAGE = """
@sabotage("T-APP-1", on="{on}", {words})
def the_break(machine):
    {breaks}
    yield
    {undoes}
"""
OFF, ON = 'machine.must("echo off > gzip")', 'machine.must("echo on > gzip")'


@pytest.fixture
def proving(bench: Bench) -> Bench:
    bench.items("T-APP-1", "T-APP-2", "T-APP-3")
    bench.file("check_things.py", CHECKS)
    for name in ("app1", "app2"):
        for file in ("gzip", "port"):
            (bench.machines / name / file).write_text("on\n")
    return bench


def sabotage(bench: Bench, breaks: str = OFF, undoes: str = ON, words: str = "", on: str = "app1") -> None:
    bench.file("sabotage_things.py", SABOTAGE.format(breaks=breaks, undoes=undoes, words=words, on=on))


def run(bench: Bench, *more: str) -> tuple[int, dict[str, Any]]:
    """Run the engine in this process; its exit code and the first item of proof.json."""
    with bench.in_environment():
        code = prove.main(arguments(bench, *more))
    proof = bench.out / "proof.json"
    return code, json.loads(proof.read_text()) if proof.exists() else {}


def arguments(bench: Bench, *more: str) -> list[str]:
    return [
        str(bench.inventory), "--checks-root", str(bench.checks), "--catalogue", str(bench.catalogue),
        "--out", str(bench.out), *(more or ("--no-snapshot",)),
    ]  # fmt: skip


def first(document: dict[str, Any]) -> dict[str, Any]:
    return dict(document["items"][0]["sabotages"][0])


@pytest.mark.parametrize(
    ("given", "code", "verdict", "told"),
    [
        ({}, 0, "KILLED", "saw off"),
        ({"words": "reason='saw o+ff'"}, 0, "KILLED", "saw off"),
        ({"words": "reason='saw nothing'"}, 1, "MIS_SCOPED", "for another reason"),
        ({"breaks": "machine.must('echo ON > gzip')"}, 1, "SURVIVED", "still PASS"),
        ({"breaks": "raise DidNotApply('no change')"}, 5, "DID_NOT_APPLY", "no change"),
        ({"breaks": "machine.must('exit 3')"}, 5, "DID_NOT_APPLY", "status 3"),
        ({"breaks": "return"}, 5, "DID_NOT_APPLY", "never yielded"),
        ({"on": "moon"}, 5, "DID_NOT_APPLY", "no machine and no role"),
        ({"breaks": OFF + '; machine.must("echo off > port")', "undoes": ON + '; machine.must("echo on > port")'},
         1, "MIS_SCOPED", "red but not declared: T-APP-2"),
        ({"words": "also_red=('T-APP-2',)"}, 1, "MIS_SCOPED", "declared but not red: T-APP-2"),
        ({"words": "may_also_red=('T-APP-2',)"}, 0, "KILLED", "saw off"),
        ({"words": "also_red=('T-APP-3',)"}, 0, "KILLED", "saw off"),
        ({"words": "expects='ERROR'"}, 5, "VOID", "FAIL instead of ERROR"),
        ({"undoes": "pass"}, 5, "VOID", "not green after"),
        ({"undoes": "raise ValueError('lost')"}, 5, "VOID", "undo failed: ValueError: lost"),
        ({"undoes": ON + "; yield"}, 0, "KILLED", "yields twice"),
    ],
)  # fmt: skip
def test_each_verdict(
    proving: Bench, given: dict[str, str], code: int, verdict: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("checks.gate.proving.SETTLE_PAUSE_S", 0.01)
    sabotage(proving, **given)
    seen_code, document = run(proving)
    seen = first(document)
    assert (seen["verdict"], seen_code) == (verdict, code)
    assert told in seen["reason"]


def test_a_declared_companion_goes_red_with_it(proving: Bench) -> None:
    both = '; machine.must("echo off > port")', '; machine.must("echo on > port")'
    sabotage(proving, OFF + both[0], ON + both[1], "also_red=('T-APP-2',), near_miss=True", on="app")
    code, document = run(proving)
    seen = first(document)
    assert (code, seen["verdict"], seen["near_miss"], seen["host"]) == (0, "KILLED", True, "app1")
    assert seen["went_red"] == seen["expected_red"] == ["T-APP-1", "T-APP-2"]
    assert document["unproven"]["T-APP-1"] == "1 of 2 sabotages, no compliant variant"


def test_a_break_that_blinds_the_check_says_nothing_unless_declared(proving: Bench) -> None:
    sabotage(proving, 'machine.must("touch no-sudo; mv ../app1 ../gone")', 'machine.must("true")')
    (proving.root / "way_back").write_text(
        "#!/bin/sh\nmv $MACHINES/gone $MACHINES/app1 2>/dev/null; echo done\n"
    )
    (proving.root / "way_back").chmod(0o755)
    code, document = run(proving, "--sandbox-command", str(proving.root / "way_back"))
    seen = first(document)
    assert (code, seen["verdict"], seen["restored_by"]) == (5, "VOID", "snapshot")
    assert "ERROR instead of FAIL" in seen["reason"]


def test_a_snapshot_brings_green_back_when_the_undo_does_not(proving: Bench) -> None:
    sabotage(proving, undoes="pass")
    sandbox = proving.root / "sandbox"
    sandbox.write_text(
        "#!/bin/sh\ncase $1 in snapshot) cp -r $MACHINES $MACHINES.kept;; restore) cp -r $MACHINES.kept/. $MACHINES;;"
        ' esac\necho "$1 $2" >> $MACHINES.log\n'
    )
    sandbox.chmod(0o755)
    code, document = run(proving, "--sandbox-command", str(sandbox))
    seen = first(document)
    assert (code, seen["verdict"], seen["restored_by"]) == (0, "KILLED", "snapshot")
    said = (proving.root / "machines.log").read_text().split()
    assert said[0::2] == ["snapshot", "restore"]
    assert said[1] == said[3]


def test_without_a_snapshot_a_failed_undo_voids_what_follows(
    proving: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("checks.gate.proving.SETTLE_PAUSE_S", 0.01)
    sabotage(proving, undoes="pass")
    text = (proving.checks / "sabotage_things.py").read_text()
    (proving.checks / "sabotage_things.py").write_text(text + SABOTAGE.format(
        breaks=OFF, undoes=ON, words="", on="app2").replace("the_break", "the_second"))  # fmt: skip
    code, document = run(proving, "--sandbox-command", "/nowhere/sandbox")
    verdicts = [one["verdict"] for one in document["items"][0]["sabotages"]]
    assert (code, verdicts) == (5, ["VOID", "VOID"])
    assert "not green before" in document["items"][0]["sabotages"][1]["reason"]


def test_a_compliant_variant_must_stay_green(proving: Bench) -> None:
    text = """
    @compliant_variant("T-APP-1", on="app1")
    def written_otherwise(machine):
        machine.must("echo ON > gzip")
        yield
        machine.must("echo on > gzip")

    @compliant_variant("T-APP-1", on="app1")
    def not_compliant(machine):
        machine.must("echo yes > gzip")
        yield
        machine.must("echo on > gzip")
    """
    proving.file("sabotage_variants.py", text)
    code, document = run(proving)
    variants = document["items"][0]["compliant_variants"]
    assert [one["verdict"] for one in variants] == ["GREEN", "RED"]
    assert code == 1


def test_an_item_red_before_is_void(proving: Bench) -> None:
    proving.file(
        "sabotage_red.py",
        SABOTAGE.format(on="db1", words="", breaks="pass", undoes="pass").replace("T-APP-1", "T-APP-3"),
    )
    code, document = run(proving)
    assert (code, first(document)["verdict"]) == (5, "VOID")


def test_quick_proof_looks_only_at_the_items_named(proving: Bench) -> None:
    both = '; machine.must("echo off > port")', '; machine.must("echo on > port")'
    sabotage(proving, OFF + both[0], ON + both[1])
    code, document = run(proving, "--no-snapshot", "--breadth", "item", "--name", "the_break")
    assert (code, first(document)["went_red"]) == (0, ["T-APP-1"])


def test_a_report_shows_the_proof(proving: Bench) -> None:
    sabotage(proving)
    run(proving)
    report = json.loads((proving.out / "report.json").read_text())
    assert report["items"][0]["proof"] == {"sabotages": 1, "killed": 1}
    assert "proof 1/1" in (proving.out / "report.html").read_text()


@pytest.mark.parametrize(
    ("more", "text", "told"),
    [
        (["--item", "T-APP-2"], None, "T-APP-2: has no sabotage"),
        (["--item", "T-APP-8"], None, "did you mean"),
        (["--name", "none"], None, "no sabotage is selected"),
        ([], "import no_such_module", "does not import"),
        (
            [],
            SABOTAGE.replace("T-APP-1", "T-APP-8").format(on="app1", words="", breaks=OFF, undoes=ON),
            "T-APP-8",
        ),
        (["--catalogue", "/nowhere"], None, "catalogue:"),
    ],
)
def test_wrong_use_is_told_before_anything_is_broken(
    proving: Bench, more: list[str], text: str | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sabotage(proving)
    if text is not None:
        proving.file("sabotage_wrong.py", text)
    code, _ = run(proving, "--no-snapshot", *more)
    assert code == 2
    assert told in capsys.readouterr().err
    assert proving.log() == []


def test_an_unknown_argument_of_a_sabotage_is_told(proving: Bench) -> None:
    proving.file("sabotage_odd.py", '@sabotage("T-APP-1", on=None)\ndef odd(moon):\n    yield\n')
    code, document = run(proving)
    assert (code, first(document)["verdict"]) == (5, "DID_NOT_APPLY")
    assert "takes moon" in first(document)["reason"]


def test_a_sabotage_may_present_other_evidence_as_its_own_ground(proving: Bench) -> None:
    proving.items("T-SRC-1")
    proving.file(
        "check_source.py",
        """
        @item("T-SRC-1", on=None)
        def check_source(evidence_dir, evidence):
            found = evidence_dir / "found"
            if not found.exists():
                raise CouldNotLook("no evidence")
            evidence.expect(looked_at="found", observed=found.read_text(), expected="good")
        """,
    )
    proving.file(
        "sabotage_source.py",
        """
        import json
        def present(bench, text):
            (bench.scratch / "found").write_text(text)
            manifest = bench.scratch / "m.json"
            manifest.write_text(json.dumps({"version": "0", "commit": "c", "tree": "t", "digest": "d"}))
            bench.present(manifest, bench.scratch)

        @sabotage("T-SRC-1", on=None, own_ground=True)
        def bad(bench):
            present(bench, "good")
            yield
            present(bench, "bad")
            yield

        @sabotage("T-SRC-1", on=None, own_ground=True)
        def no_ground(bench):
            present(bench, "bad")
            yield
            yield
        """,
    )
    code, document = run(proving)
    sabotages = document["items"][0]["sabotages"]
    assert [one["verdict"] for one in sabotages] == ["KILLED", "VOID"]
    assert "its own ground is not green" in sabotages[1]["reason"]
    assert code == 5


def test_an_interruption_that_gets_lost_is_obeyed_after_the_undo(
    proving: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = """import os, signal
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        pass
    """
    sabotage(proving, breaks=lost + OFF)
    text = (proving.checks / "sabotage_things.py").read_text()
    second = SABOTAGE.format(on="app2", words="", breaks=OFF, undoes=ON).replace("the_break", "the_second")
    (proving.checks / "sabotage_things.py").write_text(text + second)
    code, document = run(proving)
    assert (code, [one["name"] for one in document["items"][0]["sabotages"]]) == (5, ["the_break"])
    assert "interrupted" in capsys.readouterr().err
    assert (proving.machines / "app1" / "gzip").read_text() == "on\n"


def test_an_interrupted_proof_undoes_the_break(proving: Bench) -> None:
    sabotage(proving, breaks=OFF + '; machine.must("touch ../broken")')
    proving.file(
        "conftest.py", "import time\n@pytest.fixture(autouse=True)\ndef slow():\n    time.sleep(0.4)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "checks.gate.prove", *arguments(proving)],
        env=proving.environment(), cwd=proving.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (proving.machines / "broken").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 5, said
    assert "interrupted" in said
    assert (proving.machines / "app1" / "gzip").read_text() == "on\n"
