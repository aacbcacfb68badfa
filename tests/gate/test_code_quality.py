"""The evidence of the code items: what is found, what it is bound to, and when it refuses to speak."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from checks.code_quality import collect as collecting
from checks.code_quality.advisories import Mirror, audit, audit_with_mirror, audit_with_service
from checks.code_quality.currency import check_currency, too_far_behind
from checks.code_quality.dossier import Dossier, find_dossier, write_dossier
from checks.code_quality.identity import SourceIdentity, identify, tracked_files
from checks.code_quality.locks import Lock, read_locks
from checks.code_quality.static import check_lint, check_types
from checks.code_quality.suites import judge_coverage, judge_tests, run_suites
from checks.code_quality.tooling import Finding, ToolRun, run_module, run_tool, tool_version
from checks.gate import CouldNotLook

NOW = dt.datetime(2026, 6, 15, 12, tzinfo=dt.UTC)
PYPROJECT = """
[tool.mypy]
packages = ["search_api"]
mypy_path = ["service"]
[tool.pytest.ini_options]
markers = ["fleet: machines"]
addopts = "-p no:locust"
[tool.coverage.run]
branch = true
source = ["search_api"]
"""
MODULE = "def sign(of: int) -> str:\n    if of < 0:\n        return '-'\n    return '+'\n"
TEST = (
    "from search_api.sign import sign\n\n\ndef test_sign() -> None:\n    assert sign(1) + sign(-1) == '+-'\n"
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small, sound checkout."""
    root = tmp_path / "source"
    files = {
        "pyproject.toml": PYPROJECT,
        ".gitignore": "*.pyc\n__pycache__/\n.coverage*\n",
        "service/search_api/__init__.py": "",
        "service/search_api/sign.py": MODULE,
        "tests/service/test_sign.py": TEST,
        "requirements/service.in": "Demo_Pack\n# a comment\nextra[tls]\n",
        "requirements/service.txt": "demo-pack==1.2.0 \\\n    --hash=sha256:0\nextra==2.0\nother==3.1 ; x\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for words in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=a", "-c", "user.email=b", "commit", "-qm", "c"],
    ):
        subprocess.run(["git", *words], cwd=root, check=True)
    return root


def advisory(
    directory: Path, name: str = "demo-pack", modified: str = "2026-06-14T00:00:00Z", **affected: Any
) -> Mirror:
    directory.mkdir(exist_ok=True)
    number = len(list(directory.iterdir()))
    document = {
        "id": f"OSV-{number}",
        "modified": modified,
        "affected": [{"package": {"ecosystem": "PyPI", "name": name}, **affected}],
    }
    (directory / f"{number}.json").write_text(json.dumps(document))
    return Mirror(directory, 7)


def ranges(*events: dict[str, str], kind: str = "ECOSYSTEM") -> list[dict[str, Any]]:
    return [{"type": kind, "events": list(events)}]


# -- identity ----------------------------------------------------------------------------------------------


def test_the_tree_covers_what_is_not_committed_and_leaves_the_index_alone(source: Path) -> None:
    committed = identify(source)
    index = (source / ".git" / "index").read_bytes()
    (source / "new.py").write_text("x = 1\n")
    (source / "ignored.pyc").write_text("x")
    changed = identify(source)
    assert changed.commit == committed.commit
    assert changed.tree != committed.tree
    assert (source / ".git" / "index").read_bytes() == index
    (source / "new.py").unlink()
    assert identify(source) == committed
    assert "service/search_api/sign.py" in tracked_files(source, "*.py")


def test_a_directory_without_git_has_no_identity(tmp_path: Path) -> None:
    with pytest.raises(CouldNotLook, match="name the root of a checkout"):
        identify(tmp_path)


# -- tools -------------------------------------------------------------------------------------------------


def test_a_tool_that_does_not_run_is_told(source: Path) -> None:
    with pytest.raises(CouldNotLook, match="no_such_tool is not installed"):
        run_module(source, "no_such_tool", timeout_s=20)
    with pytest.raises(CouldNotLook, match=r"no end within 0\.2 s"):
        run_module(source, "timeit", "-n", "1", "import time; time.sleep(9)", timeout_s=0.2)
    with pytest.raises(CouldNotLook, match="/nowhere/tool"):
        run_tool(source, ["/nowhere/tool"], 5)
    assert "no_such_tool" in tool_version(source, "no_such_tool")
    assert tool_version(source, "ruff").startswith("ruff ")
    assert ToolRun(1, "", "", 0).last_words() == "nothing"


# -- tests and coverage ------------------------------------------------------------------------------------


def test_a_sound_source_passes_its_tests_and_coverage(source: Path, tmp_path: Path) -> None:
    tests, coverage = run_suites(source, tmp_path)
    assert (tests.outcome, tests.figures["tests"]) == ("PASS", 1)
    assert (coverage.outcome, coverage.figures["percent"]) == ("PASS", 100.0)


def test_a_failing_test_is_named(source: Path, tmp_path: Path) -> None:
    (source / "tests" / "service" / "test_bad.py").write_text("def test_bad() -> None:\n    assert 1 == 2\n")
    tests, _ = run_suites(source, tmp_path)
    assert (tests.outcome, tests.figures["failures"]) == ("FAIL", 1)
    assert "test_bad" in tests.reason


def test_tests_that_cannot_run_at_all_were_not_looked_at(source: Path, tmp_path: Path) -> None:
    (source / "pyproject.toml").write_text("[tool.pytest.ini_options]\naddopts = '--no-such-flag'\n")
    with pytest.raises(CouldNotLook, match="the tests did not run"):
        run_suites(source, tmp_path)


@pytest.mark.parametrize(
    ("change", "rc", "outcome", "told"),
    [
        ({}, 0, "PASS", "3 tests pass"),
        ({"errors": 1}, 1, "FAIL", "1 of 3 tests fail"),
        ({"skipped": 1}, 0, "FAIL", "skipped"),
        ({"tests": 0}, 5, "FAIL", "no test ran"),
        ({}, 3, "FAIL", "pytest ended with 3"),
    ],
)
def test_only_a_whole_green_run_passes(change: dict[str, int], rc: int, outcome: str, told: str) -> None:
    figures = {"tests": 3, "failures": 0, "errors": 0, "skipped": 0, "failed": [], **change}
    finding = judge_tests(figures, ToolRun(rc, "", "", 1.0))
    assert finding.outcome == outcome
    assert told in finding.reason


@pytest.mark.parametrize(
    ("change", "outcome", "told"),
    [
        ({}, "PASS", "90 %"),
        ({"percent": 80.0}, "FAIL", "is not above 80"),
        ({"files": 0}, "ERROR", "not measured at all"),
        ({"num_branches": 0}, "ERROR", "branches were not measured"),
        ({"files_left_out": ["a.py"]}, "FAIL", "not measured: a.py"),
        ({"excluded_percent": 2.5}, "FAIL", "excluded by comment"),
    ],
)
def test_coverage_is_judged_by_its_figures(change: dict[str, Any], outcome: str, told: str) -> None:
    figures = {
        "percent": 90,
        "files": 2,
        "num_branches": 4,
        "files_left_out": [],
        "excluded_percent": 0.0,
        **change,
    }
    finding = judge_coverage(figures)
    assert finding.outcome == outcome
    assert told in finding.reason


# -- types and lint ----------------------------------------------------------------------------------------


def test_types_and_lint_of_a_sound_source_pass(source: Path, tmp_path: Path) -> None:
    assert check_types(source, tmp_path).outcome == "PASS"
    lint = check_lint(source)
    assert (lint.outcome, lint.figures["files"]) == ("PASS", 3)


def append(name: str, text: str) -> Callable[[Path], object]:
    return lambda root: (root / name).write_text(
        ((root / name).read_text() if (root / name).exists() else "") + text
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (append("service/search_api/bad.py", "def f() -> str:\n    return 1\n"), "1 type errors"),
        (append("service/search_api/bad.py", "# mypy: ignore-errors\nx = 1\n"), "exempted from strictness"),
        (
            append(
                "pyproject.toml", "[[tool.mypy.overrides]]\nmodule = 'search_api.*'\nignore_errors = true\n"
            ),
            "override",
        ),
    ],
)
def test_type_errors_and_exemptions_fail(
    source: Path, tmp_path: Path, change: Callable[[Path], object], told: str
) -> None:
    change(source)
    finding = check_types(source, tmp_path)
    assert finding.outcome == "FAIL"
    assert told in finding.reason


def test_a_type_check_that_checks_nothing_was_no_look(source: Path, tmp_path: Path) -> None:
    (source / "pyproject.toml").write_text("[tool.mypy]\npackages = ['nothing_here']\n")
    with pytest.raises(CouldNotLook, match="mypy did not check"):
        check_types(source, tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (append("service/search_api/bad.py", "import os\n"), "1 findings; first: bad.py:1 F401"),
        (append("service/search_api/bad.py", "# ruff: noqa\nimport os\n"), "exempted from lint"),
        (
            append("pyproject.toml", "[tool.ruff]\nextend-exclude = ['tests']\n"),
            "exempted from lint: tests/service/test_sign.py",
        ),
    ],
)
def test_lint_findings_and_exemptions_fail(source: Path, change: Callable[[Path], object], told: str) -> None:
    change(source)
    finding = check_lint(source)
    assert finding.outcome == "FAIL"
    assert told in finding.reason


def test_a_linter_that_cannot_read_its_settings_was_no_look(source: Path) -> None:
    (source / "pyproject.toml").write_text("[tool.ruff]\nno-such-key = 1\n")
    with pytest.raises(CouldNotLook, match="ruff did not check"):
        check_lint(source)


# -- locks -------------------------------------------------------------------------------------------------


def test_locks_name_what_was_asked_for_and_every_version(source: Path) -> None:
    (lock,) = read_locks(source)
    assert lock.direct == {"demo-pack": "Demo_Pack", "extra": "extra[tls]"}
    assert lock.versions == {"demo-pack": Version("1.2.0"), "extra": Version("2.0"), "other": Version("3.1")}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("service.txt", "extra==2.0\n", "lacks demo-pack"),
        ("service.txt", "demo-pack==soon\n", "soon"),
        ("service.txt", None, r"service\.txt is missing"),
        ("service.in", None, "nothing says what is asked for"),
    ],
)
def test_a_lock_that_is_not_exact_says_nothing(source: Path, name: str, text: str | None, told: str) -> None:
    path = source / "requirements" / name
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(CouldNotLook, match=told):
        read_locks(source)


def test_a_lock_of_nothing_says_nothing(source: Path) -> None:
    for name in ("service.in", "service.txt"):
        (source / "requirements" / name).write_text("")
    with pytest.raises(CouldNotLook, match="pins nothing"):
        read_locks(source)


# -- advisories --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("affected", "hit"),
    [
        ({"ranges": ranges({"introduced": "0"})}, True),
        ({"ranges": ranges({"introduced": "0"}, {"fixed": "1.2.0"})}, False),
        ({"ranges": ranges({"introduced": "0"}, {"fixed": "1.2.1"})}, True),
        ({"ranges": ranges({"introduced": "1.3"})}, False),
        ({"ranges": ranges({"introduced": "1.0"}, {"last_affected": "1.2.0"})}, True),
        ({"ranges": ranges({"introduced": "1.0"}, {"last_affected": "1.1"})}, False),
        (
            {"ranges": ranges({"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "1.1"}, {"fixed": "2"})},
            True,
        ),
        ({"ranges": ranges({"introduced": "0"}, {"limit": "1.2"})}, False),
        ({"ranges": ranges({"introduced": "0"}, kind="GIT")}, False),
        ({"versions": ["1.2"]}, True),
        ({"versions": ["1.2.1", "not a version"]}, False),
        ({"name": "Demo.Pack", "versions": ["1.2.0"]}, True),
        ({"name": "elsewhere", "versions": ["1.2.0"]}, False),
    ],
)
def test_locked_versions_are_matched_by_the_rules_of_the_format(
    source: Path, tmp_path: Path, affected: dict[str, Any], hit: bool
) -> None:
    finding = audit_with_mirror(read_locks(source), advisory(tmp_path / "osv", **affected), NOW)
    assert finding.outcome == ("FAIL" if hit else "PASS")
    assert finding.figures["vulnerable"] == (["demo-pack 1.2.0: OSV-0"] if hit else [])
    assert finding.figures["date"] == "2026-06-14"


def test_a_withdrawn_advisory_does_not_count(source: Path, tmp_path: Path) -> None:
    mirror = advisory(tmp_path / "osv", versions=["1.2.0"])
    path = mirror.directory / "0.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "withdrawn": "2026-01-01T00:00:00Z"}))
    assert audit_with_mirror(read_locks(source), mirror, NOW).outcome == "PASS"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "no advisory in OSV format"),
        ('{"id": "X"}', "no advisory in OSV format"),
        ('{"id": "X", "affected": []}', "`modified` is missing"),
        ('{"id": "X", "affected": [], "modified": "2026-06-01T00:00:00"}', "14 days old; at most 7"),
        (
            '{"id": "X", "modified": "2026-06-14T00:00:00Z", "affected": [{"package": {"ecosystem": "PyPI", "name": '
            '"extra"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "soon"}]}]}]}',
            "X: Invalid version",
        ),
    ],
)
def test_a_mirror_that_is_old_or_damaged_is_no_audit(
    source: Path, tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "osv").mkdir()
    (tmp_path / "osv" / "x.json").write_text(text)
    with pytest.raises(CouldNotLook, match=told):
        audit_with_mirror(read_locks(source), Mirror(tmp_path / "osv", 7), NOW)


def test_an_empty_or_missing_mirror_is_no_audit(source: Path, tmp_path: Path) -> None:
    with pytest.raises(CouldNotLook, match="holds no advisory"):
        audit(source, Mirror(tmp_path / "nowhere"))


def answering(monkeypatch: pytest.MonkeyPatch, stdout: str) -> None:
    answer = ToolRun(0, stdout, "", 0.1)
    monkeypatch.setattr("checks.code_quality.advisories.run_module", lambda *_, **__: answer)


LOOKED = [{"name": name, "version": "1", "vulns": []} for name in ("a", "b")]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (LOOKED, "PASS"),
        ([*LOOKED[1:], {"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}], "FAIL"),
    ],
)
def test_the_audit_tools_answer_is_read(
    monkeypatch: pytest.MonkeyPatch, source: Path, answer: list[dict[str, Any]], outcome: str
) -> None:
    answering(monkeypatch, json.dumps({"dependencies": answer}))
    locks = [Lock("service", {}, {"a": Version("1"), "b": Version("1")})]
    assert audit_with_service(source, locks).outcome == outcome


@pytest.mark.parametrize(
    ("stdout", "told"),
    [
        ("", "pip-audit did not answer"),
        (
            json.dumps({"dependencies": [{"name": "a", "skip_reason": "not found"}]}),
            "could not look up 1 of 1",
        ),
        (json.dumps({"dependencies": LOOKED[:1]}), "looked at 1 packages only"),
    ],
)
def test_an_audit_that_could_not_look_is_never_green(
    monkeypatch: pytest.MonkeyPatch, source: Path, stdout: str, told: str
) -> None:
    answering(monkeypatch, stdout)
    with pytest.raises(CouldNotLook, match=told):
        audit_with_service(source, [Lock("service", {}, {"a": Version("1"), "b": Version("1")})])


# -- currency ----------------------------------------------------------------------------------------------


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A package index on disk, the only one that is asked; call it to publish a version."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name, value in (
        ("UV_NO_INDEX", "1"),
        ("UV_FIND_LINKS", str(wheels)),
        ("UV_NO_CACHE", "1"),
        ("UV_OFFLINE", "1"),
    ):
        monkeypatch.setenv(name, value)

    def publish(name: str, version: str) -> None:
        place = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(wheels / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{place}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            wheel.writestr(f"{place}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{place}/RECORD", "")

    return publish


def test_direct_dependencies_are_compared_with_the_index(
    source: Path, tmp_path: Path, index: Callable[[str, str], None]
) -> None:
    index("demo_pack", "1.4.0")
    index("extra", "2.0")
    finding = check_currency(source, tmp_path)
    assert finding.outcome == "PASS"
    assert finding.figures["compared"] == {"demo-pack": "1.2.0 of 1.4.0", "extra": "2.0 of 2.0"}


def test_a_ceiling_in_our_own_file_hides_nothing(
    source: Path, tmp_path: Path, index: Callable[[str, str], None]
) -> None:
    (source / "requirements" / "service.in").write_text("demo-pack<2\n")
    index("demo_pack", "2.0.0")
    finding = check_currency(source, tmp_path)
    assert finding.outcome == "FAIL"
    assert "demo-pack 1.2.0 while 2.0.0 is offered" in finding.reason


def test_an_index_that_does_not_answer_is_no_look(
    source: Path, tmp_path: Path, index: Callable[[str, str], None]
) -> None:
    index("extra", "2.0")
    with pytest.raises(CouldNotLook, match="could not be asked"):
        check_currency(source, tmp_path)


@pytest.mark.parametrize(
    ("locked", "offered", "behind"),
    [
        ("1.2", "1.7", False),
        ("1.2", "1.8", True),
        ("1.9", "2.0", True),
        ("2.0", "1.9", False),
        ("1.2", "1.2.9", False),
    ],
)
def test_the_declared_lag(locked: str, offered: str, behind: bool) -> None:
    assert too_far_behind(Version(locked), Version(offered)) is behind


# -- the evidence file -------------------------------------------------------------------------------------

OURS = SourceIdentity("c" * 40, "t" * 40)


def evidence(directory: Path, **change: Any) -> Path:
    document = {
        "schema": 1, "commit": OURS.commit, "tree": OURS.tree, "ended": NOW.isoformat(),
        "items": {"PRE-CODE-1": {"outcome": "PASS", "reason": "", "figures": {}}}, **change,
    }  # fmt: skip
    write_dossier(directory / f"{OURS.tree}.json", document)
    return directory


def test_evidence_of_this_very_source_is_taken(tmp_path: Path) -> None:
    found: Dossier = find_dossier(evidence(tmp_path), SourceIdentity(OURS.commit + "+dirty", OURS.tree), NOW)
    assert found.entry("PRE-CODE-1")["outcome"] == "PASS"
    with pytest.raises(CouldNotLook, match="says nothing about PRE-CODE-2"):
        found.entry("PRE-CODE-2")


@pytest.mark.parametrize(
    ("change", "later_hours", "told"),
    [
        ({"commit": "d" * 40}, 0, "evidence belongs to commit dddddddddddd"),
        ({"tree": "u" * 40}, 0, "evidence belongs to .* tree uuuuuuuuuuuu"),
        ({}, 25, "evidence is 25 h old"),
        ({}, -1, "evidence belongs to the future"),
        ({"schema": 2}, 0, "damaged evidence"),
        ({"ended": "yesterday"}, 0, "damaged evidence"),
        ({"items": [1]}, 0, "damaged evidence"),
    ],
)
def test_other_evidence_is_refused(
    tmp_path: Path, change: dict[str, Any], later_hours: int, told: str
) -> None:
    with pytest.raises(CouldNotLook, match=told):
        find_dossier(evidence(tmp_path, **change), OURS, NOW + dt.timedelta(hours=later_hours))


def test_no_evidence_is_told_with_its_cure(tmp_path: Path) -> None:
    with pytest.raises(CouldNotLook, match="run python -m checks"):
        find_dossier(tmp_path, OURS, NOW)


# -- collecting --------------------------------------------------------------------------------------------


def test_collected_evidence_is_bound_to_its_source(
    source: Path, tmp_path: Path, index: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    index("demo_pack", "1.2.0")
    index("extra", "2.0")
    mirror = advisory(tmp_path / "osv", name="elsewhere", modified=dt.datetime.now(dt.UTC).isoformat())
    out = tmp_path / "evidence" / "e.json"
    before = identify(source)
    code = collecting.main(
        ["--source", str(source), "--out", str(out), "--advisory-mirror", str(mirror.directory)]
    )
    document = json.loads(out.read_text())
    assert code == 0, capsys.readouterr().out
    assert (document["commit"], document["tree"]) == (before.commit, before.tree)
    assert list(document["items"]) == list(collecting.ALL_ITEMS)
    assert {one["outcome"] for one in document["items"].values()} == {"PASS"}
    assert document["tools"]["ruff"].startswith("ruff ")
    assert identify(source) == before, "collecting leaves nothing behind"


@pytest.mark.parametrize(("outcome", "code"), [("PASS", 0), ("FAIL", 1), ("ERROR", 5)])
def test_the_exit_code_tells_the_worst_finding(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: str, code: int
) -> None:
    monkeypatch.setattr(collecting, "check_lint", lambda _: Finding(outcome, "r"))
    arguments = ["--source", str(source), "--out", str(tmp_path / "e.json"), "--only", "PRE-CODE-3"]
    assert collecting.main(arguments) == code


def test_a_source_that_moves_meanwhile_gives_no_evidence(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moving(root: Path) -> Finding:
        (root / "late.py").write_text("x = 1\n")
        return Finding("PASS", "")

    monkeypatch.setattr(collecting, "check_lint", moving)
    out = tmp_path / "e.json"
    assert collecting.main(["--source", str(source), "--out", str(out), "--only", "PRE-CODE-3"]) == 5
    assert not out.exists()


def test_wrong_places_are_told(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert collecting.main(["--source", str(tmp_path), "--out", str(tmp_path / "e.json")]) == 5
    assert "name the root of a checkout" in capsys.readouterr().err
    where = ["--out", "/dev/null/e.json", "--only", "PRE-CODE-3"]
    assert collecting.main(["--source", str(source), *where]) == 2
    where = ["--out", str(tmp_path / "e.json"), "--inventory", "/nowhere.py"]
    assert collecting.main(["--source", str(source), *where]) == 5
