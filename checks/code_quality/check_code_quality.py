"""The six items about code, judged from evidence that belongs to the very source of the release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from checks.code_quality.collect import AUDIT, COVERAGE, CURRENCY, LINT, TESTS, TYPES
from checks.code_quality.currency import MAJOR_LAG_MOST, MINOR_LAG_MOST
from checks.code_quality.dossier import Dossier, find_dossier
from checks.code_quality.identity import SourceIdentity, identify
from checks.code_quality.suites import COVERAGE_FLOOR_PERCENT
from checks.gate import CouldNotLook, Evidence, item

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def dossier(release: dict[str, Any] | None, evidence_dir: Path) -> Dossier:
    """The evidence of the release under check; without a release, of the source that these checks lie in."""
    wanted = SourceIdentity(release["commit"], release["tree"]) if release else identify(REPOSITORY)
    return find_dossier(evidence_dir, wanted)


@item("PRE-CODE-1", on=None)
def check_all_tests_pass(dossier: Dossier, evidence: Evidence) -> None:
    seen = _figures(dossier, TESTS, evidence)
    evidence.that(
        seen["tests"] > 0, looked_at="tests that ran", observed=seen["tests"], expected="at least one"
    )
    for key in ("failures", "errors", "skipped"):
        evidence.expect(looked_at=f"tests: {key}", observed=seen[key], expected=0)
    evidence.expect(looked_at="pytest's exit code", observed=seen["exit_code"], expected=0)


@item("PRE-CODE-2", on=None)
def check_types_are_sound(dossier: Dossier, evidence: Evidence) -> None:
    seen = _figures(dossier, TYPES, evidence)
    evidence.that(
        seen["files"] > 0, looked_at="files type-checked", observed=seen["files"], expected="at least one"
    )
    evidence.expect(looked_at="type errors under --strict", observed=seen["errors"], expected=0)
    evidence.expect(looked_at="files exempted from strictness", observed=seen["exempted"], expected=[])


@item("PRE-CODE-3", on=None)
def check_lint_is_clean(dossier: Dossier, evidence: Evidence) -> None:
    seen = _figures(dossier, LINT, evidence)
    evidence.that(
        seen["files"] > 0, looked_at="files linted", observed=seen["files"], expected="at least one"
    )
    evidence.expect(looked_at="lint findings", observed=seen["findings"], expected=0)
    evidence.expect(
        looked_at="files left out of lint", observed=seen["left_out"] + seen["exempted"], expected=[]
    )


@item("PRE-CODE-4", on=None)
def check_coverage_is_above_the_floor(dossier: Dossier, evidence: Evidence) -> None:
    seen = _figures(dossier, COVERAGE, evidence)
    evidence.that(
        seen["num_branches"] > 0,
        looked_at="branches measured",
        observed=seen["num_branches"],
        expected="at least one",
    )
    evidence.expect(looked_at="released files not measured", observed=seen["files_left_out"], expected=[])
    measured = 100 * (seen["covered_lines"] + seen["covered_branches"])
    percent = measured / (seen["num_statements"] + seen["num_branches"])
    evidence.that(
        percent > COVERAGE_FLOOR_PERCENT,
        looked_at="line and branch coverage of the released package",
        observed=f"{percent:.2f} % (everything together {seen['everything_percent']} %)",
        expected=f"above {COVERAGE_FLOOR_PERCENT:g} %",
    )


@item("PRE-CODE-5", on=None)
def check_no_dependency_is_known_vulnerable(dossier: Dossier, evidence: Evidence) -> None:
    seen = _figures(dossier, AUDIT, evidence)
    told = f"{seen['service']} of {seen['date']}"
    evidence.that(
        seen["packages"] > 0, looked_at=told, observed=f"{seen['packages']} packages", expected="all locked"
    )
    evidence.expect(looked_at=f"known vulnerabilities, {told}", observed=seen["vulnerable"], expected=[])


@item("PRE-CODE-6", on=None)
def check_direct_dependencies_are_current(dossier: Dossier, evidence: Evidence) -> None:
    seen = _figures(dossier, CURRENCY, evidence)
    evidence.that(
        seen["direct"] > 0, looked_at="dependencies compared", observed=seen["direct"], expected="all direct"
    )
    evidence.expect(
        looked_at=f"more than {MAJOR_LAG_MOST} major or {MINOR_LAG_MOST} minor releases behind the index",
        observed=seen["behind"],
        expected=[],
    )


def _figures(dossier: Dossier, item_id: str, evidence: Evidence) -> dict[str, Any]:
    """The figures of one item. The collector's own word is needed too, but never enough: figures are judged again."""
    entry = dossier.entry(item_id)
    if entry["outcome"] == "ERROR":
        raise CouldNotLook(entry["reason"])
    evidence.note(
        looked_at=f"{dossier.path.name}, ended {dossier.ended:%Y-%m-%d %H:%M} UTC",
        observed=f"commit {dossier.source.commit[:12]}, tree {dossier.source.tree[:12]}",
    )
    evidence.that(
        entry["outcome"] == "PASS",
        looked_at="the collector's finding",
        observed=entry["reason"],
        expected="PASS",
    )
    return dict(entry["figures"])
