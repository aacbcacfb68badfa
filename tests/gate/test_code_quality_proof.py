"""The six code items notice their sabotages, on a small copy of this source with its real configuration."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from checks.code_quality.locks import read_locks
from checks.gate import prove

if TYPE_CHECKING:
    from conftest import Bench

REPOSITORY = Path(__file__).resolve().parents[2]
# One break of each item and two variants; `make prove` runs them all.
NAMES = (
    "the_evidence_says_pass_over_red_figures",
    "the_evidence_is_of_another_commit",
    "an_override_lets_the_package_off",
    "a_file_switches_the_linter_off",
    "the_untested_file_is_left_out_of_the_measurement",
    "the_advisory_spells_the_package_otherwise",
    "a_ceiling_hides_how_old_it_is",
    "one_line_is_excused_by_name",
    "one_minor_release_behind",
)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package index on disk that offers just what is locked."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    versions = {name: lock.versions[name] for lock in read_locks(REPOSITORY) for name in lock.direct}
    for name, version in versions.items():
        stem = f"{name.replace('-', '_')}-{version}"
        with zipfile.ZipFile(wheels / f"{stem}-py3-none-any.whl", "w") as wheel:
            words = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            wheel.writestr(f"{stem}.dist-info/METADATA", words)
            wheel.writestr(
                f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(f"{stem}.dist-info/RECORD", "")
    for key, value in (
        ("UV_NO_INDEX", "1"),
        ("UV_FIND_LINKS", str(wheels)),
        ("UV_NO_CACHE", "1"),
        ("UV_OFFLINE", "1"),
    ):
        monkeypatch.setenv(key, value)


@pytest.mark.usefixtures("index")
def test_the_code_items_notice_their_sabotages(bench: Bench) -> None:
    arguments = [
        str(bench.inventory),
        "--no-snapshot",
        "--checks-root",
        str(REPOSITORY / "checks" / "code_quality"),
    ]
    with bench.in_environment():
        prove.main(
            [*arguments, "--out", str(bench.out), *(word for name in NAMES for word in ("--name", name))]
        )
    document = json.loads((bench.out / "proof.json").read_text())
    verdicts = {
        one["name"]: (one["verdict"], one["reason"])
        for item in document["items"]
        for one in (*item["sabotages"], *item["compliant_variants"])
    }
    assert set(verdicts) == set(NAMES)
    assert {name: seen for name, seen in verdicts.items() if seen[0] not in ("KILLED", "GREEN")} == {}
