"""The toy fleet and the small service, fresh for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from checkouts import PYPROJECT, commit, empty_wheel
from toy_fleet import Toy, scratch

from infra.release.source import git


@pytest.fixture
def toy() -> Iterator[Toy]:
    """Two app hosts and a keeper; nothing released yet."""
    with scratch() as place:
        yield Toy.made_in(place / "toy")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that all these tests share, as all their locks are the same."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def checkout(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small service in git, whose two locked dependencies pip finds in a directory."""
    wheels, place = tmp_path / "wheels", tmp_path / "checkout"
    wheels.mkdir()
    (place / "service" / "search_api").mkdir(parents=True)
    (place / "requirements").mkdir()
    for lock, name in (("service", "toyservice"), ("installer", "toyinstaller")):
        line = f"{name}==1.0 --hash=sha256:{empty_wheel(wheels, name)}\n"
        (place / "requirements" / f"{lock}.txt").write_text(line)
    (place / "service" / "pyproject.toml").write_text(PYPROJECT)
    (place / "service" / "search_api" / "__init__.py").write_text("")
    (place / "service" / "search_api" / "version.py").write_text('__version__ = "1.0.0"\n')
    (place / ".gitignore").write_text("*.pyc\n")
    git(tmp_path, "init", "--quiet", str(place))
    commit(place)
    monkeypatch.setenv("LAUNCHGATE_HOME", str(home))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    return place
