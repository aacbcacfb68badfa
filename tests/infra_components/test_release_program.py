"""The program that installs releases on a machine: it believes the manifest and nothing else."""

import hashlib
import io
import json
import tarfile
from base64 import b64decode
from pathlib import Path
from types import ModuleType

import pytest
from pyinfra.api.exceptions import PyinfraError

from infra.components.app.artifact import Artifact, find_artifact, fits
from tests.infra_components.conftest import load_program

FILES = {
    "requirements.txt": b"idna==1 --hash=sha256:00\n",
    "search_api-1.0.0-py3-none-any.whl": b"the service",
    "sbom.json": b"{}",
    "wheelhouse/idna-1-py3-none-any.whl": b"a wheel",
    "wheelhouse/cffi-2-cp311-cp311-manylinux_2_17_x86_64.whl": b"for 3.11",
    "wheelhouse/cffi-2-cp313-cp313-manylinux_2_17_x86_64.whl": b"for 3.13",
}


def build(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    """An artifact as `launchgate build` lays it out."""
    digests = {}
    for name, body in (files or FILES).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        digests[name] = hashlib.sha256(body).hexdigest()
    lines = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    manifest = {"version": "1.0.0", "digest": hashlib.sha256(lines.encode()).hexdigest(), "files": digests}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    build(tmp_path / "dist" / "1.0.0")
    found = find_artifact("1.0.0", tmp_path / "dist")
    assert found is not None
    return found


@pytest.fixture
def machine(tmp_path: Path, artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program on a machine to which the artifact was uploaded."""
    monkeypatch.setenv("SEARCH_API_HOME", str(tmp_path / "srv"))
    program = load_program("app", "search-api-release.py")
    body = b64decode(artifact.upload(artifact.needed("3.11", {})))
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        archive.extractall(tmp_path / "srv", filter="data")
    return program


@pytest.mark.parametrize(
    ("wheel", "python", "answer"),
    [
        ("a-1-py3-none-any.whl", "3.11", True),
        ("a-1-py2.py3-none-any.whl", "3.13", True),
        ("a-1-cp311-cp311-manylinux_2_17_x86_64.whl", "3.11", True),
        ("a-1-cp311-cp311-manylinux_2_17_x86_64.whl", "3.13", False),
        ("a-1-cp39-abi3-manylinux_2_34_x86_64.whl", "3.13", True),
        ("a-1-cp313-abi3-manylinux_2_34_x86_64.whl", "3.11", False),
        ("no wheel", "3.11", False),
    ],
)
def test_a_wheel_is_sent_to_the_python_that_it_fits(wheel: str, python: str, answer: bool) -> None:
    assert fits(wheel, python) is answer


def test_only_what_the_machine_lacks_is_sent(artifact: Artifact) -> None:
    first = artifact.needed("3.11", {})
    assert "wheelhouse/cffi-2-cp311-cp311-manylinux_2_17_x86_64.whl" in first
    assert "wheelhouse/cffi-2-cp313-cp313-manylinux_2_17_x86_64.whl" not in first
    held = {
        Path(name).name: digest for name, digest in artifact.files.items() if name.startswith("wheelhouse/")
    }
    assert artifact.needed("3.11", held) == ["requirements.txt", "search_api-1.0.0-py3-none-any.whl"]
    held["idna-1-py3-none-any.whl"] = "another"
    assert "wheelhouse/idna-1-py3-none-any.whl" in artifact.needed("3.11", held)


def test_an_artifact_is_found_by_version_release_or_age(tmp_path: Path, artifact: Artifact) -> None:
    dist = tmp_path / "dist"
    for wanted in (None, "1.0.0", artifact.release):
        found = find_artifact(wanted, dist)
        assert found is not None
        assert found.release == artifact.release
    assert find_artifact("2.0.0", dist) is None
    assert find_artifact("1.0.0-000000000000", dist) is None
    assert find_artifact(None, tmp_path / "nowhere") is None


@pytest.mark.parametrize("name", ["requirements.txt", "wheelhouse/idna-1-py3-none-any.whl"])
def test_a_corrupt_artifact_is_refused_on_the_controller(tmp_path: Path, name: str) -> None:
    folder = build(tmp_path / "1.0.0")
    (folder / name).write_bytes(b"other")
    with pytest.raises(PyinfraError, match=f"{name}: missing or corrupt"):
        find_artifact("1.0.0", tmp_path)


def test_a_manifest_that_was_changed_is_refused_on_the_controller(tmp_path: Path) -> None:
    manifest = build(tmp_path / "1.0.0") / "manifest.json"
    body = json.loads(manifest.read_text())
    body["files"].pop("sbom.json")
    manifest.write_text(json.dumps(body))
    with pytest.raises(PyinfraError, match="digest is not that of its files"):
        find_artifact("1.0.0", tmp_path)
    manifest.write_text("{")
    with pytest.raises(PyinfraError, match="not a manifest"):
        find_artifact("1.0.0", tmp_path)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("incoming/{}/requirements.txt", "corrupt or missing"),
        ("incoming/{}/search_api-1.0.0-py3-none-any.whl", "corrupt or missing"),
        ("wheels/idna-1-py3-none-any.whl", "was corrupt and is removed"),
        ("incoming/{}/manifest.json", "cannot be used"),
    ],
)
def test_a_corrupt_upload_installs_nothing(
    machine: ModuleType, artifact: Artifact, capsys: pytest.CaptureFixture[str], path: str, words: str
) -> None:
    (machine.HOME / path.format(artifact.release)).write_bytes(b"x")
    assert machine.main(["install", artifact.release]) == 1
    assert words in capsys.readouterr().err
    assert not (machine.HOME / "releases" / artifact.release).exists()


def test_another_release_than_the_manifests_is_refused(machine: ModuleType, artifact: Artifact) -> None:
    (machine.HOME / "incoming" / artifact.release).rename(machine.HOME / "incoming" / "2.0.0-abc")
    assert machine.main(["install", "2.0.0-abc"]) == 1


def test_a_release_without_an_installer_is_refused(
    machine: ModuleType, artifact: Artifact, capsys: pytest.CaptureFixture[str]
) -> None:
    assert machine.main(["install", artifact.release]) == 1
    assert "no uv wheel" in capsys.readouterr().err
    assert machine.main(["holdings"]) == 0
    held = json.loads(capsys.readouterr().out)
    assert held["releases"] == []
    assert set(held["wheels"]) == {"idna-1-py3-none-any.whl", "cffi-2-cp311-cp311-manylinux_2_17_x86_64.whl"}


def test_pruning_keeps_the_newest_and_what_a_slot_holds(machine: ModuleType) -> None:
    import os

    for age, name in enumerate(["1.0.0-a", "1.1.0-b", "1.2.0-c", "1.3.0-d"]):
        place = machine.HOME / "releases" / name
        place.mkdir(parents=True)
        (place / "manifest.json").write_text("{}")
        os.utime(place, (1000 + age, 1000 + age))
    (machine.HOME / "releases" / ".new-9").mkdir()
    (machine.HOME / "slots").mkdir()
    (machine.HOME / "slots" / "blue").symlink_to(machine.HOME / "releases" / "1.0.0-a")
    assert machine.main(["prune", "2"]) == 0
    left = sorted(path.name for path in (machine.HOME / "releases").iterdir())
    assert left == ["1.0.0-a", "1.2.0-c", "1.3.0-d"]
    assert machine.main(["prune", "many"]) == 2
    assert machine.main(["install", "../etc"]) == 2
