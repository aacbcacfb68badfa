"""Blind the gate in every way that comes to mind: it is never green, and says why."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Bench

LOOK = """
@item("T-APP-1", on="app")
def check_look(machine, evidence):
    seen = machine.run({command!r}, sudo={sudo})
    evidence.that(seen is not None, looked_at="it", observed=seen.stdout, expected="anything")
"""
BODIES = {
    "a skip mark": ("@pytest.mark.skip(reason='later')", "pass", "skipped"),
    "a skip call": ("", "pytest.skip('later')", "skipped"),
    "a missing import": ("", "pytest.importorskip('no_such_module')", "skipped"),
    "an xfail mark": (
        "@pytest.mark.xfail",
        "evidence.expect(looked_at='x', observed=1, expected=2)",
        "xfail",
    ),
    "an xfail mark on green": (
        "@pytest.mark.xfail",
        "evidence.expect(looked_at='x', observed=1, expected=1)",
        "xfail",
    ),
    "an xfail that never runs": ("@pytest.mark.xfail(run=False)", "pass", "xfail"),
    "an xfail call": ("", "pytest.xfail('known')", "expected to fail"),
    "no evidence": ("", "pass", "recorded no evidence"),
    "only a note": ("", "evidence.note(looked_at='x', observed=1)", "recorded no evidence"),
    "an exception": ("", "{}['key']", "the check itself broke: KeyError"),
    "a time-out": ("@pytest.mark.timeout(0.3)", "import time; time.sleep(5)", "too long"),
    "could not look": ("", "raise CouldNotLook('fog')", "could not look: fog"),
}


@pytest.mark.parametrize("how", BODIES)
def test_a_check_that_does_not_really_look_is_an_error(bench: Bench, how: str) -> None:
    mark, body, reason = BODIES[how]
    bench.items("T-APP-1")
    bench.file(
        "check_blind.py", f'\n{mark}\n@item("T-APP-1", on=None)\ndef check_it(evidence):\n    {body}\n'
    )
    ran = bench.run()
    assert (ran.rc, ran.outcome("T-APP-1"), ran.report["gate"]) == (5, "ERROR", "closed")
    assert reason in ran.item("T-APP-1")["reason"]


def test_no_sudo_is_an_error(green: Bench) -> None:
    (green.machines / "app2" / "no-sudo").touch()
    ran = green.run()
    assert (ran.rc, ran.outcome("T-APP-1")) == (5, "ERROR")
    assert "app2: could not look: app2: sudo without a password is refused" in ran.item("T-APP-1")["reason"]


def test_a_host_that_is_down_is_an_error(green: Bench) -> None:
    shutil.rmtree(green.machines / "app1")
    ran = green.run()
    assert (ran.rc, ran.outcome("T-APP-1")) == (5, "ERROR")
    assert "ssh failed" in ran.item("T-APP-1")["reason"]


def test_a_host_that_is_down_is_an_error_for_the_real_ssh(green: Bench) -> None:
    (green.root / "bin" / "ssh").unlink()
    (green.root / "ssh_config").write_text("Host *\n  HostName 127.0.0.1\n  Port 1\n  User nobody\n")
    ran = green.run_process()
    assert (ran.rc, ran.outcome("T-APP-1")) == (5, "ERROR")
    assert "ssh failed" in ran.item("T-APP-1")["reason"]


def test_testinfra_on_a_host_that_is_down_is_an_error(bench: Bench) -> None:
    shutil.rmtree(bench.machines / "app1")
    bench.items("T-APP-1")
    bench.file(
        "check_file.py",
        """
        @item("T-APP-1", on="app")
        def check_file(testinfra_host, evidence):
            evidence.that(testinfra_host.file("/").exists, looked_at="/", observed=1, expected=1)
        """,
    )
    ran = bench.run()
    assert (ran.rc, ran.outcome("T-APP-1")) == (5, "ERROR")


@pytest.mark.parametrize("command", ["no-such-tool -V", "no-such-tool -V | head -1", "no-such-tool || true"])
@pytest.mark.parametrize("sudo", [True, False])
def test_a_missing_tool_is_an_error_even_behind_a_pipe(bench: Bench, command: str, sudo: bool) -> None:
    bench.items("T-APP-1")
    bench.file("check_tool.py", LOOK.format(command=command, sudo=sudo))
    ran = bench.run()
    assert (ran.rc, ran.outcome("T-APP-1")) == (5, "ERROR")
    assert "no-such-tool is not installed" in ran.item("T-APP-1")["reason"]


def test_a_role_without_machines_is_an_error(bench: Bench) -> None:
    bench.items("T-APP-1")
    bench.file("check_ops.py", LOOK.format(command="true", sudo=False).replace('on="app"', 'on="ops"'))
    ran = bench.run()
    assert (ran.rc, ran.outcome("T-APP-1")) == (5, "ERROR")
    assert "no machine of role ops" in ran.item("T-APP-1")["reason"]


def test_an_empty_inventory_is_wrong_use(green: Bench) -> None:
    green.inventory.write_text("lb = []\napp = []\ndb = []\ncache = []\n")
    ran = green.run()
    assert ran.rc == 2
    assert "no machine in group" in ran.text


@pytest.mark.parametrize("flag", ["-k=nothing", "-m=slow", "--deselect={checks}/check_app.py", "-k=not app2"])
def test_a_deselected_item_is_an_error(green: Bench, flag: str) -> None:
    ran = green.run(flag.format(checks=green.checks.name))
    assert (ran.rc, ran.outcome("T-APP-1")) == (5, "ERROR")
    assert "collected but not executed" in ran.item("T-APP-1")["reason"]


def test_a_check_file_that_was_not_collected_is_an_error(green: Bench) -> None:
    green.items("T-APP-2")
    green.file("check_other.py", LOOK.format(command="true", sudo=False).replace("T-APP-1", "T-APP-2"))
    ran = green.run(f"--ignore={green.checks / 'check_app.py'}")
    assert (ran.rc, ran.outcome("T-APP-1"), ran.outcome("T-APP-2")) == (5, "ERROR", "PASS")
    assert "was not collected" in ran.item("T-APP-1")["reason"]


def test_a_check_file_that_does_not_import_is_an_error_and_the_others_still_run(green: Bench) -> None:
    green.items("T-APP-2")
    green.file(
        "check_broken.py",
        "import no_such_module\n" + LOOK.format(command="true", sudo=False).replace("T-APP-1", "T-APP-2"),
    )
    ran = green.run()
    assert (ran.rc, ran.outcome("T-APP-1"), ran.outcome("T-APP-2")) == (5, "PASS", "ERROR")
    assert "no_such_module" in ran.item("T-APP-2")["reason"]


def test_a_check_file_with_a_syntax_error_closes_the_gate(green: Bench) -> None:
    green.file("check_broken.py", "def check_(:\n")
    ran = green.run()
    assert ran.rc == 5
    assert "cannot be read as a check file" in ran.report["problems"][0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def check_it(evidence):\n    pass\n", "declares no item"),
        ('@item("T-APP-1", on=None)\ndef check_it(evidence):\n    pass\n' * 2, "is defined twice"),
        (
            '@item("T-APP-7", on=None)\ndef check_it(evidence):\n    pass\n',
            "T-APP-7, which no catalogue holds",
        ),
    ],
)
def test_a_wrong_declaration_closes_the_gate(green: Bench, text: str, told: str) -> None:
    green.file("check_wrong.py", text)
    ran = green.run("--item", "T-APP-1")
    assert ran.rc == 5
    assert told in " ".join(ran.report["problems"])
    assert "CLOSED BECAUSE" in ran.text


def test_a_check_that_breaks_after_its_verdict_is_an_error(green: Bench) -> None:
    green.file(
        "conftest.py",
        """
        @pytest.fixture(autouse=True)
        def untidy():
            yield
            raise RuntimeError("left behind")
        """,
    )
    ran = green.run()
    assert (ran.rc, ran.outcome("T-APP-1")) == (5, "ERROR")
    assert "left behind" in ran.item("T-APP-1")["reason"]


def test_a_run_that_stops_early_is_an_error(green: Bench) -> None:
    green.items("T-APP-0")
    green.file("check_a_first.py", '@item("T-APP-0", on=None)\ndef check_it(evidence):\n    assert 1 == 2\n')
    ran = green.run("-x")
    assert (ran.rc, ran.outcome("T-APP-0"), ran.outcome("T-APP-1")) == (5, "FAIL", "ERROR")


def test_collecting_only_is_not_looking(green: Bench) -> None:
    assert green.run("--collect-only").rc == 5


def test_an_expectation_swallowed_by_the_check_still_fails(bench: Bench) -> None:
    bench.items("T-APP-1")
    bench.file(
        "check_swallow.py",
        """
        @item("T-APP-1", on=None)
        def check_it(evidence):
            try:
                evidence.expect(looked_at="x", observed=1, expected=2)
            except AssertionError:
                pass
        """,
    )
    assert bench.run().outcome("T-APP-1") == "FAIL"


def test_pytests_own_failure_is_a_failure(bench: Bench) -> None:
    bench.items("T-APP-1")
    bench.file(
        "check_fail.py", '@item("T-APP-1", on=None)\ndef check_it(evidence):\n    pytest.fail("red")\n'
    )
    ran = bench.run()
    assert (ran.rc, ran.outcome("T-APP-1")) == (1, "FAIL")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--item", "T-AP-1"], "did you mean T-APP-1"),
        (["--item", "nonsense"], "ids are in checks/catalogue"),
        (["--phase", "before"], "use pre, post, rollback, all"),
        (["--phase", "post", "--item", "T-APP-1"], "its phases are pre"),
        (["--inventory", "/nowhere.py"], "no such inventory file"),
        (["--release-manifest", "/nowhere.json"], "cannot be read"),
        (["--merge-load", "{root}/list.json"], "holds no JSON dict"),
        (["--release-manifest", "{root}/empty.json"], "version is missing"),
        (["--out", "/dev/null/out"], "name another directory"),
        (["--catalogue", "{root}/bin"], "holds no *.toml"),
    ],
)
def test_wrong_use_is_one_clear_error_and_nothing_is_touched(
    green: Bench, flags: list[str], told: str
) -> None:
    (green.root / "list.json").write_text("[]")
    (green.root / "empty.json").write_text("{}")
    ran = green.run(*(flag.format(root=green.root) for flag in flags))
    assert ran.rc == 2
    assert told in ran.text
    assert green.log() == []


def test_no_inventory_is_wrong_use(green: Bench) -> None:
    arguments = [one for one in green.pytest_arguments() if one not in ("--inventory", str(green.inventory))]
    green.pytest_arguments = lambda *_: arguments  # type: ignore[method-assign]
    ran = green.run()
    assert ran.rc == 2
    assert "--inventory is missing" in ran.text
