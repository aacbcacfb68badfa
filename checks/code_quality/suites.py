"""Runs the tests that need no machines, once, and reads two findings from it: all pass, and what they cover."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

from checks.code_quality.identity import tracked_files
from checks.code_quality.tooling import Figures, Finding, ToolRun, run_module
from checks.gate import CouldNotLook

SUITES_TIMEOUT_S = 800.0
COVERAGE_FLOOR_PERCENT = 80.0
# "pragma: no cover" is for lines that cannot run under test; more than this share is hiding.
EXCLUDED_MOST_PERCENT = 2.0
PROCESSES = 2  # more would only make what is timed wait for its turn
RELEASED = "service"
# The tests of what is released. The toolkit that releases it has its own, `make test`, on machines too.
TESTS = "tests/service"


def run_suites(source: Path, scratch: Path) -> tuple[Finding, Finding]:
    """Findings for "tests pass" and "coverage", from one run. Raises CouldNotLook when there was no run."""
    junit, coverage = scratch / "junit.xml", scratch / "coverage.json"
    ran = run_module(
        source, "pytest", TESTS, "-m", "not fleet", "-q", "-p", "no:cacheprovider", f"--junitxml={junit}",
        "-n", str(PROCESSES), "--dist", "loadfile",
        "--cov", f"--cov-report=json:{coverage}", "--cov-fail-under=0",
        timeout_s=SUITES_TIMEOUT_S,
        environment={
            "COVERAGE_FILE": str(scratch / "coverage.data"), "COVERAGE_CORE": "ctrace", "COVERAGE_GREENLETS": "thread",
        },
    )  # fmt: skip
    if not junit.is_file():
        raise CouldNotLook(f"the tests did not run (exit {ran.rc}): {ran.last_words()}")
    tests = judge_tests(read_junit(junit, ran), ran)
    if not coverage.is_file():
        return tests, Finding("ERROR", f"no coverage was measured: {ran.last_words()}")
    released = tracked_files(source, f"{RELEASED}/**/*.py")
    return tests, judge_coverage(read_coverage(json.loads(coverage.read_text()), released))


def read_junit(path: Path, ran: ToolRun) -> Figures:
    """Counts of a JUnit file, and the names of what failed."""
    root = ET.parse(path).getroot()  # noqa: S314 - written by our own pytest a moment ago
    suites = list(root.iter("testsuite"))
    figures: Figures = {
        key: sum(int(one.get(key, "0")) for one in suites)
        for key in ("tests", "failures", "errors", "skipped")
    }
    failed = [
        f"{case.get('classname')}::{case.get('name')}"
        for case in root.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]
    first = next((node.get("message", "") for node in root.iter() if node.tag in ("failure", "error")), "")
    return {
        **figures,
        "failed": failed[:20],
        "first_failure": " ".join(first.split())[:300],
        "exit_code": ran.rc,
        "seconds": round(ran.seconds, 1),
    }


def judge_tests(figures: Figures, ran: ToolRun) -> Finding:
    """PASS only when tests ran, none failed, none was skipped, and pytest itself was content."""
    if figures["failures"] or figures["errors"]:
        bad = figures["failures"] + figures["errors"]
        told = f"{bad} of {figures['tests']} tests fail: {', '.join(figures['failed'][:5])}"
        return Finding("FAIL", f"{told}; the first says: {figures.get('first_failure', '')}", figures)
    if figures["skipped"]:
        return Finding(
            "FAIL", f"{figures['skipped']} tests were skipped or expected to fail; neither is a pass", figures
        )
    if not figures["tests"]:
        return Finding("FAIL", "no test ran", figures)
    if ran.rc:
        return Finding("FAIL", f"pytest ended with {ran.rc}: {ran.last_words()}", figures)
    return Finding("PASS", f"{figures['tests']} tests pass", figures)


def read_coverage(document: Figures, released: list[str]) -> Figures:
    """Coverage of the released package (branches included), the files left out, and the share excluded by comment."""
    summaries = {name: one["summary"] for name, one in document["files"].items() if name in set(released)}
    count = {
        key: sum(one.get(key, 0) for one in summaries.values())
        for key in ("covered_lines", "num_statements", "covered_branches", "num_branches", "excluded_lines")
    }
    whole = count["num_statements"] + count["num_branches"]
    reached = count["covered_lines"] + count["covered_branches"]
    written = count["num_statements"] + count["excluded_lines"]
    return {
        **count,
        "percent": round(100 * reached / whole, 2) if whole else 0.0,
        "excluded_percent": round(100 * count["excluded_lines"] / written, 2) if written else 0.0,
        "floor_percent": COVERAGE_FLOOR_PERCENT,
        "files": len(summaries),
        "files_left_out": [name for name in released if name not in summaries],
        "everything_percent": round(document["totals"]["percent_covered"], 2),
    }


def judge_coverage(figures: Figures) -> Finding:
    """PASS only when branches of every released file were measured and the floor is exceeded."""
    if not figures["files"]:
        return Finding("ERROR", "the released package was not measured at all", figures)
    if figures["files_left_out"]:
        return Finding("FAIL", f"not measured: {', '.join(figures['files_left_out'][:5])}", figures)
    if not figures["num_branches"]:
        return Finding("ERROR", "branches were not measured; set branch = true for coverage", figures)
    if figures["excluded_percent"] > EXCLUDED_MOST_PERCENT:
        told = f"{figures['excluded_percent']} % of the code is excluded by comment, at most {EXCLUDED_MOST_PERCENT} %"
        return Finding("FAIL", told, figures)
    if figures["percent"] <= COVERAGE_FLOOR_PERCENT:
        return Finding("FAIL", f"{figures['percent']} % is not above {COVERAGE_FLOOR_PERCENT} %", figures)
    return Finding("PASS", f"{figures['percent']} % of the released package", figures)
