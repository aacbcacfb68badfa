"""The program that turns package lists into SQL."""

import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from tests.infra_components.conftest import load_program

PACKAGES = """Package: hello
Section: devel
Description: example package
Description-md5: 111

Package: quote'd
Section: misc
Description: short only
Description-md5: 999

Package: hello
Section: older
Description: an older one
"""
TRANSLATION = """Package: hello
Description-md5: 111
Description-en: example package based on GNU hello
 The GNU hello program says 'hi' with a back\\slash.
 .
 It is friendly.
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = load_program("customer", "load-package-corpus.py")
    monkeypatch.setattr(module, "LISTS", tmp_path)
    real = subprocess.run

    def decompressed(command: list[str], **options: object) -> object:
        # apt's own reader exists on Debian only; for an uncompressed list `cat` is the same.
        return real(["cat", command[-1]], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(module.subprocess, "run", decompressed)
    return module


def test_each_package_comes_once_with_its_full_description(program: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a_Packages").write_text(PACKAGES)
    (tmp_path / "a_Translation-en").write_text(TRANSLATION)
    found = {name: (section, description) for name, section, description in program.packages()}
    assert set(found) == {"hello", "quote'd"}
    section, description = found["hello"]
    assert section == "devel"
    assert description.splitlines()[0] == "example package based on GNU hello"
    assert description.endswith("\n\nIt is friendly.")
    assert found["quote'd"] == ("misc", "short only")


def test_the_new_table_takes_the_old_ones_place_at_once(
    program: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a_Packages").write_text(PACKAGES)
    (tmp_path / "a_Translation-en").write_text(TRANSLATION)
    assert program.main() == 0
    sql = capsys.readouterr().out
    assert sql.index("CREATE TABLE packages_new") < sql.index("INSERT INTO packages_new")
    assert sql.index("INSERT INTO packages_new") < sql.index("ADD FULLTEXT KEY") < sql.index("RENAME TABLE")
    assert r"'quote\'d'" in sql
    assert r"says \'hi\' with a back\\slash.\n\nIt is friendly." in sql


def test_a_machine_without_lists_is_told_what_to_do(
    program: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main() == 1
    assert "apt-get update" in capsys.readouterr().err
