"""The gate on real machines: green when all is well, and never green when it could not look."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.conftest import INVENTORY, Fleet

pytestmark = pytest.mark.fleet
ITEM = "HARD-SRV-2"


def report(out: Path) -> dict[str, Any]:
    return {item["id"]: item for item in json.loads((out / "report.json").read_text())["items"]}


def outcomes(out: Path, items: set[str]) -> dict[str, str]:
    return {identity: item["outcome"] for identity, item in report(out).items() if identity in items}


def check(fleet: Fleet, out: Path, *words: str) -> int:
    return fleet.launchgate("check", INVENTORY, "--out", out, *words).returncode


def test_what_is_implemented_is_green_on_a_good_fleet(deployed: Fleet, tmp_path: Path) -> None:
    code = check(deployed, tmp_path / "pre", "--phase", "pre")
    items = report(tmp_path / "pre")
    red = {
        identity: item["reason"]
        for identity, item in items.items()
        if item["outcome"] in ("FAIL", "ERROR")
        and "not implemented" not in item.get("reason", "")
        and not identity.startswith(
            "PRE-CODE"
        )  # no release is under check here, so there is no evidence to read
    }
    assert not red
    assert code in (1, 5), "with items not implemented the gate stays closed"


def test_one_item_alone_opens_the_gate(deployed: Fleet, tmp_path: Path) -> None:
    assert check(deployed, tmp_path / "one", "--item", ITEM) == 0
    item = report(tmp_path / "one")[ITEM]
    assert item["outcome"] == "PASS"
    assert {evidence["host"] for evidence in item["evidence"]} >= {"lb1", "app1", "db1"}


@pytest.fixture
def without_sudo(deployed: Fleet) -> Iterator[None]:
    deployed.must("lb1", "sudo mv /etc/sudoers.d/90-admin /etc/sudoers.d/90-admin.away")
    yield
    # sudo is gone, so the machine gets it back the way a provider's console would: from a snapshot
    deployed.launchgate("sandbox", "restore", "deployed", "--host", "lb1")


@pytest.mark.usefixtures("without_sudo")
def test_without_sudo_the_gate_says_error_and_not_green(deployed: Fleet, tmp_path: Path) -> None:
    assert check(deployed, tmp_path / "sudo", "--item", ITEM) == 5
    assert outcomes(tmp_path / "sudo", {ITEM}) == {ITEM: "ERROR"}


def test_with_a_machine_down_the_gate_says_error_and_not_green(deployed: Fleet, tmp_path: Path) -> None:
    deployed.launchgate("sandbox", "ssh", "ops1", "sudo systemctl poweroff")
    try:
        assert check(deployed, tmp_path / "down", "--item", ITEM) == 5
        assert outcomes(tmp_path / "down", {ITEM}) == {ITEM: "ERROR"}
    finally:
        assert deployed.launchgate("sandbox", "up").returncode == 0


def test_a_deselected_check_is_an_error(deployed: Fleet, tmp_path: Path) -> None:
    words = ["-m", "pytest", "checks", "--inventory", INVENTORY, "--item", ITEM, "--out", str(tmp_path / "k")]
    done = deployed.run(sys.executable, *words, "-k", "nothing")
    assert done.returncode == 5, done.stdout[-3000:]


def test_an_unknown_item_is_a_usage_error(deployed: Fleet, tmp_path: Path) -> None:
    done = deployed.launchgate("check", INVENTORY, "--item", "HARD-SRV-99", "--out", tmp_path / "x")
    assert done.returncode == 2
    assert "HARD-SRV-99" in done.stdout + done.stderr


def test_sabotages_of_an_item_are_noticed(deployed: Fleet, tmp_path: Path) -> None:
    done = deployed.launchgate(
        "prove", INVENTORY, "--item", "INF-LB-6", "--out", tmp_path / "proof", timeout=600
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    proof = json.loads((tmp_path / "proof" / "proof.json").read_text())
    verdicts = [sabotage["verdict"] for item in proof["items"] for sabotage in item["sabotages"]]
    assert len(verdicts) >= 2
    assert set(verdicts) == {"KILLED"}
