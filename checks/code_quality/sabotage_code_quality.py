"""Breaks that the six code items must notice, each on a small copy of the source."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator

from packaging.version import Version

from checks.code_quality.collect import AUDIT, COVERAGE, CURRENCY, LINT, TESTS, TYPES
from checks.code_quality.locks import read_locks
from checks.code_quality.pocket import MODULE, TEST, Pocket
from checks.gate import compliant_variant, sabotage
from checks.gate.workbench import Workbench

PACKAGE = "fastapi"
_UNREACHED = "".join(f"    if rows == {number}:\n        total += {number}\n" for number in range(30))
_UNTESTED = f'''

def unreached(rows: int) -> int:
    """Nobody tests this."""
    total = 0
{_UNREACHED}    return total
'''


@sabotage("PRE-CODE-1", on=None, own_ground=True, reason="1 of 3 tests fail")
def a_test_fails(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    pocket.append(TEST, "\n\ndef test_two_and_two() -> None:\n    assert pages(2, 2) == 4\n")
    pocket.look(TESTS)
    pocket.require(TESTS, "FAIL")
    pocket.show(bench)
    yield


@sabotage("PRE-CODE-1", on=None, own_ground=True, near_miss=True, reason="skipped or expected to fail")
def the_failing_test_is_marked_as_expected(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    marked = "\n\n@pytest.mark.xfail\ndef test_two_and_two() -> None:\n    assert pages(2, 2) == 4\n"
    pocket.append(TEST, marked)
    test = pocket.path(TEST)
    test.write_text(test.read_text().replace("from search_api", "import pytest\nfrom search_api", 1))
    pocket.look(TESTS)
    pocket.require(TESTS, "FAIL")
    pocket.show(bench)
    yield


@sabotage("PRE-CODE-1", on=None, own_ground=True, near_miss=True, reason="failures")
def the_evidence_says_pass_over_red_figures(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    pocket.found[TESTS]["figures"]["failures"] = 3
    pocket.show(bench)
    yield


@sabotage(
    "PRE-CODE-1", on=None, own_ground=True, near_miss=True, expects="ERROR", reason="evidence belongs to",
    also_red=("PRE-CODE-2", "PRE-CODE-3", "PRE-CODE-4", "PRE-CODE-5", "PRE-CODE-6"),
)  # fmt: skip
def the_evidence_is_of_another_commit(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    pocket.show(bench, commit="0" * 40)
    yield


@sabotage(
    "PRE-CODE-1", on=None, own_ground=True, expects="ERROR", reason="h old",
    also_red=("PRE-CODE-2", "PRE-CODE-3", "PRE-CODE-4", "PRE-CODE-5", "PRE-CODE-6"),
)  # fmt: skip
def the_evidence_is_of_last_week(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    pocket.show(bench, ended="2020-01-01T00:00:00+00:00")
    yield


@compliant_variant("PRE-CODE-1", on=None, own_ground=True)
def tests_are_written_as_a_table(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    table = '\n\n@pytest.mark.parametrize("rows", [1, 2])\ndef test_rows(rows: int) -> None:\n    '
    pocket.append(TEST, f"{table}assert pages(rows, 1) == rows\n")
    test = pocket.path(TEST)
    test.write_text(test.read_text().replace("from search_api", "import pytest\nfrom search_api", 1))
    pocket.look(TESTS, COVERAGE)
    pocket.show(bench)
    yield


@sabotage("PRE-CODE-2", on=None, own_ground=True, reason="1 type error")
def a_function_returns_another_type(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    pocket.append(MODULE, '\n\ndef name() -> str:\n    """Wrong."""\n    return 1\n')
    pocket.look(TYPES)
    pocket.require(TYPES, "FAIL")
    pocket.show(bench)
    yield


@sabotage("PRE-CODE-2", on=None, own_ground=True, near_miss=True, reason="exempted from strictness")
def the_type_error_is_hidden_by_a_comment(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    pocket.append("service/search_api/names.py", "# mypy: ignore-errors\ndef name() -> str:\n    return 1\n")
    pocket.look(TYPES)
    pocket.require(TYPES, "FAIL")
    pocket.show(bench)
    yield


@sabotage("PRE-CODE-2", on=None, own_ground=True, near_miss=True, reason="override for search_api")
def an_override_lets_the_package_off(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    pocket.append(MODULE, '\n\ndef name() -> str:\n    """Wrong."""\n    return 1\n')
    pocket.append(
        "pyproject.toml", '\n[[tool.mypy.overrides]]\nmodule = ["search_api.*"]\nignore_errors = true\n'
    )
    pocket.look(TYPES)
    pocket.require(TYPES, "FAIL")
    pocket.show(bench)
    yield


@compliant_variant("PRE-CODE-2", on=None, own_ground=True)
def a_generic_module_is_added(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    module = (
        'from typing import TypeVar\n\nT = TypeVar("T")\n\n\ndef first(of: list[T]) -> T:\n    return of[0]\n'
    )
    pocket.append("loadtests/firsts.py", module)
    pocket.look(TYPES)
    pocket.show(bench)
    yield


@sabotage("PRE-CODE-3", on=None, own_ground=True, reason="F401")
def an_import_is_unused(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    pocket.append("loadtests/extra.py", '"""Extra."""\n\nimport os\n')
    pocket.look(LINT)
    pocket.require(LINT, "FAIL")
    pocket.show(bench)
    yield


@sabotage("PRE-CODE-3", on=None, own_ground=True, near_miss=True, reason="exempted from lint")
def a_file_switches_the_linter_off(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    pocket.append("loadtests/extra.py", '# ruff: noqa\n"""Extra."""\n\nimport os\n')
    pocket.look(LINT)
    pocket.require(LINT, "FAIL")
    pocket.show(bench)
    yield


@compliant_variant("PRE-CODE-3", on=None, own_ground=True)
def one_line_is_excused_by_name(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    pocket.append(
        "loadtests/extra.py", '"""Extra."""\n\nimport os  # noqa: F401 - kept for its side effect\n'
    )
    pocket.look(LINT)
    pocket.show(bench)
    yield


@sabotage("PRE-CODE-4", on=None, own_ground=True, reason="is not above")
def most_code_is_untested(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    pocket.append(MODULE, _UNTESTED)
    pocket.look(COVERAGE)
    pocket.require(COVERAGE, "FAIL")
    pocket.show(bench)
    yield


@sabotage("PRE-CODE-4", on=None, own_ground=True, near_miss=True, reason="excluded by comment")
def untested_code_is_excluded_by_comment(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    pocket.append(MODULE, _UNTESTED.replace("-> int:", "-> int:  # pragma: no cover"))
    pocket.look(COVERAGE)
    pocket.require(COVERAGE, "FAIL")
    pocket.show(bench)
    yield


@sabotage("PRE-CODE-4", on=None, own_ground=True, near_miss=True, reason="not measured")
def the_untested_file_is_left_out_of_the_measurement(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    pocket.append("service/search_api/untested.py", f'"""Untested."""\n{_UNTESTED}')
    settings = pocket.path("pyproject.toml")
    written = settings.read_text()
    listed = re.compile(r"(\[tool\.coverage\.run\]\n(?:[^\[\n].*\n)*?omit = \[)")
    settings.write_text(
        listed.sub(r'\1"*/untested.py", ', written, count=1)
        if listed.search(written)
        else written.replace("[tool.coverage.run]", '[tool.coverage.run]\nomit = ["*/untested.py"]', 1)
    )
    pocket.look(COVERAGE)
    pocket.require(COVERAGE, "FAIL")
    pocket.show(bench)
    yield


@compliant_variant("PRE-CODE-4", on=None, own_ground=True)
def new_code_comes_with_its_test(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    pocket.append(
        "service/search_api/halves.py", '"""Halves."""\n\n\ndef half(of: int) -> int:\n    return of // 2\n'
    )
    pocket.append(
        "tests/service/test_halves.py",
        "from search_api.halves import half\n\n\ndef test_half() -> None:\n    assert half(4) == 2\n",
    )
    pocket.look(TESTS, COVERAGE)
    pocket.show(bench)
    yield


@sabotage("PRE-CODE-5", on=None, own_ground=True, reason="DEMO-1")
def a_locked_package_is_known_vulnerable(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    pocket.advise("DEMO-1", PACKAGE, [{"introduced": "0"}, {"fixed": "99999"}])
    pocket.look(AUDIT)
    pocket.require(AUDIT, "FAIL")
    pocket.show(bench)
    yield


@sabotage("PRE-CODE-5", on=None, own_ground=True, near_miss=True, reason="DEMO-2")
def the_advisory_spells_the_package_otherwise(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    version = _locked(pocket, "pydantic-core")
    pocket.advise("DEMO-2", "Pydantic_Core", [{"introduced": "0"}, {"last_affected": version}])
    pocket.look(AUDIT)
    pocket.require(AUDIT, "FAIL")
    pocket.show(bench)
    yield


@sabotage("PRE-CODE-5", on=None, own_ground=True, near_miss=True, expects="ERROR", reason="days old")
def the_advisories_are_out_of_date(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    for path in pocket.advisories.glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "modified": "2020-01-01T00:00:00Z"}))
    pocket.look(AUDIT)
    pocket.require(AUDIT, "ERROR")
    pocket.show(bench)
    yield


@sabotage("PRE-CODE-5", on=None, own_ground=True, expects="ERROR", reason="holds no advisory")
def the_audit_could_not_look(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    for path in pocket.advisories.glob("*.json"):
        path.unlink()
    pocket.look(AUDIT)
    pocket.require(AUDIT, "ERROR")
    pocket.show(bench)
    yield


@compliant_variant("PRE-CODE-5", on=None, own_ground=True)
def older_versions_were_vulnerable(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    version = _locked(pocket, PACKAGE)
    pocket.advise("DEMO-3", PACKAGE, [{"introduced": "0"}, {"fixed": version}])
    pocket.look(AUDIT)
    pocket.show(bench)
    yield


@sabotage("PRE-CODE-6", on=None, own_ground=True, reason=f"{PACKAGE} 0.1.0 while")
def a_direct_dependency_is_years_old(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    _lock(pocket, "0.1.0")
    pocket.look(CURRENCY)
    pocket.require(CURRENCY, "FAIL")
    pocket.show(bench)
    yield


@sabotage("PRE-CODE-6", on=None, own_ground=True, near_miss=True, reason=f"{PACKAGE} 0.1.0 while")
def a_ceiling_hides_how_old_it_is(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    _lock(pocket, "0.1.0")
    asked = pocket.path("requirements/service.in")
    asked.write_text(re.sub(rf"(?m)^{PACKAGE}$", f"{PACKAGE}<0.2", asked.read_text()))
    pocket.look(CURRENCY)
    pocket.require(CURRENCY, "FAIL")
    pocket.show(bench)
    yield


@sabotage("PRE-CODE-6", on=None, own_ground=True, expects="ERROR", reason="could not be asked")
def the_index_does_not_answer(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    kept = dict(os.environ)
    os.environ.update(UV_OFFLINE="1", UV_NO_CACHE="1", UV_NO_INDEX="1")
    try:
        os.environ.pop("UV_FIND_LINKS", None)
        pocket.look(CURRENCY)
    finally:
        os.environ.clear()
        os.environ.update(kept)
    pocket.require(CURRENCY, "ERROR")
    pocket.show(bench)
    yield


@compliant_variant("PRE-CODE-6", on=None, own_ground=True)
def one_minor_release_behind(bench: Workbench) -> Iterator[None]:
    pocket = Pocket.green(bench)
    yield
    now = Version(_locked(pocket, PACKAGE))
    _lock(pocket, f"{now.major}.{max(now.minor - 1, 0)}.0")
    pocket.look(CURRENCY)
    pocket.show(bench)
    yield


def _locked(pocket: Pocket, name: str) -> str:
    """The version in which a package is locked."""
    return next(str(lock.versions[name]) for lock in read_locks(pocket.root) if name in lock.versions)


def _lock(pocket: Pocket, version: str) -> None:
    """Pin the package to a version in every lock that holds it."""
    for path in pocket.path("requirements").glob("*.txt"):
        path.write_text(re.sub(rf"(?m)^{PACKAGE}==\S+", f"{PACKAGE}=={version}", path.read_text()))
