"""A disk's layers: what a snapshot keeps, what a restore throws away."""

from pathlib import Path

import pytest

from infra.sandbox.errors import SandboxError
from infra.sandbox.layers import Disk


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    disk = Disk(tmp_path / "lb1", tmp_path / "image")
    disk.create()
    return disk


def test_a_snapshot_makes_the_writable_layer_a_lower_one(disk: Disk) -> None:
    before = disk.top
    disk.snapshot("fresh")
    assert disk.top != before
    assert f"lowerdir={before}/upper:" in disk.mount_options()
    assert disk.snapshots() == ["fresh"]


def test_restore_throws_away_what_came_after_and_keeps_other_snapshots(disk: Disk) -> None:
    disk.snapshot("one")
    disk.snapshot("two")
    late = disk.top
    (late / "upper" / "late").write_text("x")
    disk.restore("one")
    assert not late.exists()
    assert disk.snapshots() == ["one", "two"]
    disk.restore("two")
    assert not (disk.top / "upper" / "late").exists()


def test_creating_twice_keeps_the_disk(disk: Disk) -> None:
    (disk.top / "upper" / "kept").write_text("x")
    disk.create()
    assert (disk.top / "upper" / "kept").exists()


@pytest.mark.parametrize("name", ["", "Über", "../up", "-x", "a" * 60])
def test_a_bad_snapshot_name_is_refused_and_nothing_changes(disk: Disk, name: str) -> None:
    before = disk.mount_options()
    with pytest.raises(SandboxError, match="snapshot's name"):
        disk.snapshot(name)
    assert disk.mount_options() == before


def test_an_unknown_snapshot_names_the_known_ones(disk: Disk) -> None:
    disk.snapshot("fresh")
    with pytest.raises(SandboxError, match=r"no snapshot 'stale' \(known: fresh\)") as error:
        disk.restore("stale")
    assert error.value.exit_code == 2


def test_layers_do_not_pile_up_without_end(disk: Disk) -> None:
    for number in range(39):
        disk.snapshot(f"s{number}")
    with pytest.raises(SandboxError, match="restore an older snapshot first"):
        disk.snapshot("one-too-many")
