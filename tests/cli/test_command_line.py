"""The command line: help that shows examples, errors in one line, exit codes that scripts can trust."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra.drift import _plan, find_differences

REPOSITORY = Path(__file__).resolve().parents[2]


def launchgate(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra.cli", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "command", ["build", "check", "load", "judge", "release", "rollback", "prove", "drift"]
)
def test_every_command_explains_itself(command: str) -> None:
    done = launchgate(command, "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["relese"], "relese"),
        (["check"], "INVENTORY"),
        (["drift", "inventories/nowhere.py"], "inventories/nowhere.py"),
        (["release", "inventories/nowhere.py"], "inventories/nowhere.py"),
        (["build", "--version", "one"], "one"),
    ],
)
def test_a_wrong_request_is_a_usage_error_that_names_the_place(words: list[str], complaint: str) -> None:
    done = launchgate(*words)
    assert done.returncode == 2, done.stderr
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def slices(path: Path, milliseconds: float) -> Path:
    lines = [
        json.dumps(
            {"pair": n, "latencies_ms": [milliseconds + n % 3] * 40, "cpu_ms_per_request": milliseconds / 10}
        )
        for n in range(30)
    ]
    path.write_text("\n".join(lines))
    return path


def test_judge_says_fail_to_a_slower_candidate_and_pass_to_an_equal_one(tmp_path: Path) -> None:
    baseline, slower = slices(tmp_path / "a.jsonl", 10), slices(tmp_path / "b.jsonl", 20)
    assert launchgate("judge", str(baseline), str(slower)).returncode == 1
    assert launchgate("judge", str(baseline), str(baseline)).returncode == 0


def test_only_certain_changes_count_as_drift() -> None:
    plan = [
        {
            "name": "Files | certain",
            "hosts_with_change": ["lb1", "app1"],
            "hosts_with_conditional_change": [],
        },
        {"name": "Server | perhaps", "hosts_with_change": [], "hosts_with_conditional_change": ["app2"]},
    ]
    assert find_differences(plan) == [
        {"host": "lb1", "operation": "Files | certain"},
        {"host": "app1", "operation": "Files | certain"},
    ]


@pytest.mark.parametrize("text", ["", "no json here", "{", '{"results": []}', "3"])
def test_output_without_a_plan_is_never_taken_for_no_drift(text: str) -> None:
    assert _plan(text) is None


def test_the_plan_is_found_behind_other_output() -> None:
    assert _plan('--> Connecting…\n{"plan": []}') == []
