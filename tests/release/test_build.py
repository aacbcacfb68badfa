"""Artifacts: reproducible, sealed, never changed; and which source they are made of."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from checkouts import commit
from toy_fleet import Toy

from infra.release import wheelhouse
from infra.release.artifact import checked_version, open_artifact
from infra.release.build import VersionTaken, build
from infra.release.demo import bad_version
from infra.release.errors import ReleaseError, WrongUse
from infra.release.source import Source, git


def test_the_same_content_gives_the_same_digest_wherever_and_whenever_it_is_built(
    checkout: Path, tmp_path: Path
) -> None:
    here = build(Source.of(checkout), "1.2.3", tmp_path / "dist")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(checkout, elsewhere)
    for path in elsewhere.rglob("*.py"):
        path.touch()
    there = build(Source.of(elsewhere), "1.2.3", tmp_path / "dist2")
    assert here.digest == there.digest
    assert build(Source.of(checkout), "1.2.3", tmp_path / "dist") == here


def test_an_artifact_holds_what_its_manifest_says_and_nothing_half_built_is_left(
    checkout: Path, tmp_path: Path
) -> None:
    made = build(Source.of(checkout), None, tmp_path / "dist")
    manifest = json.loads(made.manifest.read_text())
    assert sorted(manifest["files"]) == [
        "requirements.txt",
        "sbom.json",
        "search_api-1.0.0-py3-none-any.whl",
        "wheelhouse/toyinstaller-1.0-py3-none-any.whl",
        "wheelhouse/toyservice-1.0-py3-none-any.whl",
    ]
    assert manifest["commit"] == git(checkout, "rev-parse", "HEAD").strip()
    sbom = json.loads((made.directory / "sbom.json").read_text())
    assert [part["name"] for part in sbom["components"]] == ["toyservice"]
    assert sbom["metadata"]["component"]["version"] == "1.0.0"
    assert [path.name for path in (tmp_path / "dist").iterdir()] == ["1.0.0"]
    assert open_artifact(made.directory) == made


def test_the_version_is_stamped_into_the_wheel_and_not_into_the_source(
    checkout: Path, tmp_path: Path
) -> None:
    made = build(Source.of(checkout), "4.5.6", tmp_path / "dist")
    with zipfile.ZipFile(made.directory / "search_api-4.5.6-py3-none-any.whl") as wheel:
        assert wheel.read("search_api/version.py") == b'__version__ = "4.5.6"\n'
    assert git(checkout, "status", "--porcelain") == ""


def test_a_version_never_changes_its_content(checkout: Path, tmp_path: Path) -> None:
    first = build(Source.of(checkout), "1.0.0", tmp_path / "dist")
    (checkout / "service" / "search_api" / "more.py").write_text("x = 1\n")
    with pytest.raises(
        VersionTaken, match=r"1\.0\.0 exists with other content .*choose another with --version"
    ):
        build(Source.of(checkout), "1.0.0", tmp_path / "dist")
    assert open_artifact(first.directory) == first


def test_the_same_bytes_from_a_newer_commit_bear_that_commit(checkout: Path, tmp_path: Path) -> None:
    first = build(Source.of(checkout), "1.0.0", tmp_path / "dist")
    (checkout / "README").write_text("words")
    commit(checkout)
    second = build(Source.of(checkout), "1.0.0", tmp_path / "dist")
    assert second.digest == first.digest
    assert open_artifact(second.directory).tree == Source.of(checkout).tree != first.tree


def test_a_commit_is_dirty_only_when_what_is_released_differs(checkout: Path) -> None:
    clean = Source.of(checkout)
    (checkout / "notes").write_text("x")
    assert Source.of(checkout).commit == clean.commit
    assert Source.of(checkout).tree != clean.tree
    (checkout / "service" / "new.py").write_text("x")
    assert Source.of(checkout).commit == f"{clean.commit}+dirty"
    (checkout / "service" / "ignored.pyc").write_text("x")
    (checkout / "service" / "new.py").unlink()
    (checkout / "notes").unlink()
    assert Source.of(checkout) == clean


def test_looking_at_a_source_leaves_its_repository_as_it_was(checkout: Path) -> None:
    def everything() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in (checkout / ".git").rglob("*") if path.is_file()}

    (checkout / "service" / "new.py").write_text("x")
    git(checkout, "status")
    before = everything()
    Source.of(checkout)
    assert everything() == before


def test_a_directory_that_is_no_checkout_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="no service/ in it; give the root of a checkout"):
        Source.of(tmp_path)
    (tmp_path / "service").mkdir()
    with pytest.raises(WrongUse, match="release from a git checkout"):
        Source.of(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("wheel", "other", "corrupt, it differs from its manifest"),
        ("wheel", None, "missing"),
        ("stranger", "x", "not in the manifest"),
        ("manifest.json", "{", "not JSON"),
        ("manifest.json", "{}", "lacks schema, version"),
        ("manifest.json", None, "not an artifact"),
    ],
)
def test_an_artifact_that_was_changed_is_refused(toy: Toy, name: str, content: str | None, told: str) -> None:
    toy.build("1.0.0")
    place = toy.directory / "dist" / "1.0.0"
    assert open_artifact(place).version == "1.0.0"
    if content is None:
        (place / name).unlink()
    else:
        (place / name).write_text(content)
    with pytest.raises(WrongUse, match=told):
        open_artifact(place)


def test_a_digest_that_was_changed_by_hand_is_refused(toy: Toy) -> None:
    toy.build("1.0.0")
    made = open_artifact(toy.directory / "dist" / "1.0.0")
    made.manifest.write_text(made.manifest.read_text().replace(made.digest, "0" * 64))
    with pytest.raises(WrongUse, match="its digest is not that of its files"):
        open_artifact(made.directory)


def test_a_wheel_with_another_hash_than_the_locked_one_is_refused(checkout: Path, tmp_path: Path) -> None:
    lock = checkout / "requirements" / "service.txt"
    lock.write_text("toyservice==1.0 --hash=sha256:" + "0" * 64)
    with pytest.raises(
        ReleaseError, match=r"service|requirements\.txt: wheels for Python 3\.11 cannot be had"
    ):
        build(Source.of(checkout), "1.0.0", tmp_path / "dist")
    assert list((tmp_path / "dist").iterdir()) == []


def test_a_service_that_does_not_build_says_what_the_builder_said(checkout: Path, tmp_path: Path) -> None:
    (checkout / "service" / "pyproject.toml").write_text("[project")
    with pytest.raises(ReleaseError, match="the wheel cannot be built; hatchling said"):
        build(Source.of(checkout), "1.0.0", tmp_path / "dist")
    assert list((tmp_path / "dist").iterdir()) == []


def test_a_missing_lock_or_version_is_one_error(checkout: Path, tmp_path: Path) -> None:
    (checkout / "requirements" / "installer.txt").unlink()
    with pytest.raises(WrongUse, match="the lock of dependencies is missing"):
        build(Source.of(checkout), "1.0.0", tmp_path / "dist")
    (checkout / "service" / "search_api" / "version.py").write_text("")
    with pytest.raises(WrongUse, match="no line __version__"):
        build(Source.of(checkout), None, tmp_path / "dist")
    with pytest.raises(WrongUse, match="no line __version__"):
        build(Source.of(checkout), "1.0.0", tmp_path / "dist")


def test_wheels_are_fetched_once_and_a_spoilt_cache_is_filled_again(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAUNCHGATE_HOME", str(tmp_path / "home"))
    build(Source.of(checkout), "1.0.0", tmp_path / "dist")
    shutil.rmtree(tmp_path / "wheels")
    build(Source.of(checkout), "1.0.1", tmp_path / "dist")
    cached = next(wheelhouse.cache_root().rglob("toyservice*.whl"))
    cached.write_bytes(b"spoilt")
    with pytest.raises(ReleaseError, match="cannot be had"):
        build(Source.of(checkout), "1.0.2", tmp_path / "dist")


def test_a_user_who_may_not_write_the_shared_cache_has_one_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(wheelhouse.os, "access", lambda _path, _mode: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert wheelhouse.cache_root() == tmp_path / "launchgate" / "wheelhouse"


@pytest.mark.parametrize("text", ["1", "1.0", "v1.0.0", "1.0.0-beta", "../1.0.0", "", "1.0.0\n"])
def test_a_version_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(WrongUse, match="not a release number"):
        checked_version(text)


@pytest.mark.parametrize("text", ["1.0.0", "10.20.30", "1.5.0rc1"])
def test_a_version_is_taken_as_it_is(text: str) -> None:
    assert checked_version(text) == text


def test_the_bad_version_is_a_clone_with_the_uncommitted_and_the_patch_and_the_original_stays(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch = tmp_path / "bad.patch"
    (checkout / "service" / "search_api" / "__init__.py").write_text("slow = True\n")
    patch.write_text(git(checkout, "diff"))
    git(checkout, "checkout", "--quiet", ".")
    (checkout / "service" / "search_api" / "new.py").write_text("uncommitted = 1\n")
    (checkout / "requirements" / "installer.txt").unlink()
    monkeypatch.setattr(bad_version, "PATCH", patch)
    before = Source.of(checkout)
    bad = bad_version.make(checkout, tmp_path / "bad")
    again = bad_version.make(checkout, tmp_path / "again")
    assert (bad.commit, bad.tree) == (again.commit, again.tree)
    assert Source.of(checkout) == before
    assert (bad.directory / "service" / "search_api" / "__init__.py").read_text() == "slow = True\n"
    assert (bad.directory / "service" / "search_api" / "new.py").exists()
    assert not (bad.directory / "requirements" / "installer.txt").exists()
    monkeypatch.setattr(bad_version, "PATCH", tmp_path / "gone")
    with pytest.raises(WrongUse, match="restore it from git"):
        bad_version.make(checkout, tmp_path / "third")


def test_the_demos_patch_applies_to_this_very_source(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    shutil.copytree(root / "service", tmp_path / "service", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        ["git", "apply", "--check", str(bad_version.PATCH)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_module_runs_without_the_rest_of_the_command_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "infra.release", "build", "--version", "nonsense"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "not a release number" in done.stderr
