"""The programs that are sent to machines: they compile as sent, and see what they should."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest

from checks.probes.programs import source
from checks.probes.remote import in_force, kept_releases, plans

PROGRAMS = ("bursts", "in_force", "kept_releases", "operations", "plans", "slot_metrics")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_whole_and_runs_as_a_script(name: str) -> None:
    text = source(name)
    compile(text, name, "exec")
    assert 'if __name__ == "__main__":' in text


@pytest.mark.parametrize(
    ("query", "normal"),
    [
        ("SELECT a\n  FROM t WHERE id IN (%s, %s, %s)", "SELECT a FROM t WHERE id IN (%s...)"),
        ("SELECT a FROM t WHERE (id) IN ((%s), (%s))", "SELECT a FROM t WHERE (id) IN (%s...)"),
        ("SELECT a FROM t WHERE id = %s", "SELECT a FROM t WHERE id = %s"),
    ],
)
def test_a_statement_is_the_same_whatever_the_number_of_its_parameters(query: str, normal: str) -> None:
    assert plans.normal(query) == normal


def test_secrets_in_an_environment_are_not_shown() -> None:
    assert in_force._shown("SEARCH_API_JWT_SECRET", "abc") == "[secret]"
    assert in_force._shown("SEARCH_API_DATABASE_PASSWORD", "abc") == "[secret]"
    assert in_force._shown("SEARCH_API_WORKERS", "2") == "2"


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed release of one file, with a wheel that is kept for it."""
    monkeypatch.setattr(kept_releases, "HOME", tmp_path)
    wheel = tmp_path / "wheels" / "a-1-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(b"wheel")
    files = {f"wheelhouse/{wheel.name}": hashlib.sha256(b"wheel").hexdigest()}
    lines = "".join(f"{files[name]}  {name}\n" for name in sorted(files))
    digest = hashlib.sha256(lines.encode()).hexdigest()
    place = tmp_path / "releases" / f"1.0.0-{digest[:12]}"
    packages = place / "venv/lib/python3.11/site-packages"
    (packages / "a-1.dist-info").mkdir(parents=True)
    (packages / "a.py").write_text("x = 1\n")
    recorded = base64.urlsafe_b64encode(hashlib.sha256(b"x = 1\n").digest()).rstrip(b"=").decode()
    (packages / "a-1.dist-info/RECORD").write_text(f"a.py,sha256={recorded},6\na-1.dist-info/RECORD,,\n")
    (place / "manifest.json").write_text(json.dumps({"version": "1.0.0", "digest": digest, "files": files}))
    return place


def test_a_release_as_it_was_installed_is_whole(release: Path) -> None:
    assert kept_releases.look(release) == {
        "manifest": "", "packages": 1, "files": 1, "damaged": 0, "named": [], "wheels": [],
    }  # fmt: skip


def test_a_changed_or_missing_file_is_named(release: Path) -> None:
    file = release / "venv/lib/python3.11/site-packages/a.py"
    file.write_text("x = 2\n")
    assert kept_releases.look(release)["named"] == ["venv/lib/python3.11/site-packages/a.py"]
    file.unlink()
    assert kept_releases.look(release)["damaged"] == 1


def test_a_corrupt_wheel_and_a_foreign_manifest_are_noticed(release: Path) -> None:
    (release.parents[1] / "wheels" / "a-1-py3-none-any.whl").write_bytes(b"other")
    assert kept_releases.look(release)["wheels"] == ["a-1-py3-none-any.whl"]
    moved = release.rename(release.with_name("2.0.0-000000000000"))
    assert "is of 1.0.0" in str(kept_releases.look(moved)["manifest"])
    (moved / "manifest.json").write_text("{}")
    assert "cannot be used" in str(kept_releases.look(moved)["manifest"])
