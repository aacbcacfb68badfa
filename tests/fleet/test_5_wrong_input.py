"""What people get wrong: one clear error each, and nothing changed on any machine."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.conftest import DIST, FIRST, INVENTORY, REPOSITORY, Fleet

pytestmark = pytest.mark.fleet


def fingerprint(fleet: Fleet) -> dict[str, str]:
    """Slots, units and firewall of the machines that a release touches."""
    look = (
        "sudo sh -c '/usr/local/sbin/search-api-slot status; nft list ruleset | grep -v counter | sha256sum'"
    )
    return {name: fleet.must(name, look) for name in ("app1", "app2")}


@pytest.fixture(autouse=True)
def nothing_changes(deployed: Fleet) -> Iterator[None]:
    before = fingerprint(deployed)
    yield
    assert fingerprint(deployed) == before


@pytest.fixture
def inventories(tmp_path: Path) -> Path:
    """A copy of the sandbox's inventory, to be spoilt."""
    folder = tmp_path / "inventories"
    shutil.copytree(REPOSITORY / "inventories", folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def deploy(fleet: Fleet, inventory: Path) -> tuple[int, str]:
    done = fleet.run(str(REPOSITORY / ".venv/bin/pyinfra"), "-y", inventory, "infra/platform.py", timeout=120)
    return done.returncode, done.stdout + done.stderr


def test_an_unknown_inventory_key_is_named_before_any_machine_is_touched(
    deployed: Fleet, inventories: Path
) -> None:
    with (inventories / "group_data/sandbox.py").open("a") as file:
        file.write("\nredis_maxmemroy_mb = 64\n")
    code, output = deploy(deployed, inventories / "sandbox.py")
    assert code != 0
    assert "redis_maxmemroy_mb" in output
    assert "Connecting" not in output or "Connected" not in output


def test_a_wrong_value_is_named_with_its_place(deployed: Fleet, inventories: Path) -> None:
    with (inventories / "group_data/sandbox.py").open("a") as file:
        file.write("\nworkers = 'many'\n")
    code, output = deploy(deployed, inventories / "sandbox.py")
    assert code != 0
    assert "workers" in output
    done = deployed.launchgate("release", inventories / "sandbox.py")
    assert done.returncode == 2
    assert "workers" in done.stdout + done.stderr


def test_an_unreachable_machine_is_named(deployed: Fleet) -> None:
    fleet_file = deployed.directory / "fleet.json"
    kept = fleet_file.read_text()
    ssh_config = deployed.directory / "ssh/config"
    kept_ssh = ssh_config.read_text()
    gone = re.search(r'"address": "(\d+\.\d+\.\d+)\.22"', kept)
    assert gone
    try:
        ssh_config.write_text(kept_ssh.replace(f"{gone[1]}.22\n", f"{gone[1]}.222\n"))
        done = deployed.launchgate("release", INVENTORY, "--version", FIRST)
    finally:
        ssh_config.write_text(kept_ssh)
    assert done.returncode == 5, done.stdout + done.stderr
    assert "app2" in done.stdout + done.stderr


def test_a_wrong_ssh_key_is_named(deployed: Fleet, tmp_path: Path) -> None:
    key = deployed.directory / "ssh/id_ed25519"
    kept = tmp_path / "kept"
    shutil.copy2(key, kept)
    for socket_file in (deployed.directory / "ssh").glob("c-*"):
        socket_file.unlink()
    try:
        key.unlink()
        deployed.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
        done = deployed.launchgate("release", INVENTORY, "--version", FIRST)
    finally:
        shutil.copy2(kept, key)
        os.chmod(key, 0o600)  # noqa: PTH101
        deployed.run("sh", "-c", f"ssh-keygen -y -f {key} > {key}.pub")
    assert done.returncode == 5, done.stdout + done.stderr
    assert "key" in (done.stdout + done.stderr).lower()


def test_a_full_disk_on_a_target_stops_the_release_before_it_begins(deployed: Fleet) -> None:
    deployed.must("app2", "sudo mount -t tmpfs -o size=1m tmpfs /srv")
    try:
        done = deployed.launchgate("release", INVENTORY, "--version", FIRST)
    finally:
        deployed.must("app2", "sudo umount /srv")
    assert done.returncode in (1, 5), done.stdout + done.stderr
    assert re.search(r"app2.*MiB free on /srv", done.stdout + done.stderr)


def test_an_occupied_port_is_named_with_its_holder(deployed: Fleet) -> None:
    deployed.must("cache1", "sudo systemctl stop redis-server")
    deployed.must(
        "cache1", "sudo systemd-run --unit=squatter --quiet systemd-socket-activate -l 6379 sleep 300"
    )
    try:
        done = deployed.pyinfra("infra/platform.py", "--limit", "cache1")
    finally:
        deployed.must("cache1", "sudo systemctl stop squatter; sudo systemctl start redis-server")
    assert done.returncode != 0
    assert "6379" in done.stdout + done.stderr


def test_a_corrupt_artifact_is_refused(deployed: Fleet) -> None:
    wheel = next((DIST / FIRST).glob("*.whl"))
    good = wheel.read_bytes()
    spoilt = bytearray(good)
    spoilt[len(good) // 2] ^= 1
    wheel.write_bytes(bytes(spoilt))
    try:
        done = deployed.launchgate("release", INVENTORY, "--version", FIRST)
    finally:
        wheel.write_bytes(good)
    assert done.returncode in (1, 2), done.stdout + done.stderr
    assert wheel.name in done.stdout + done.stderr


def test_an_expired_waiver_counts_as_absent_and_is_told(
    deployed: Fleet, inventories: Path, tmp_path: Path
) -> None:
    (tmp_path / "waivers.toml").write_text(
        '[[waiver]]\nitem = "DOC-OPS-4"\nowner = "ops"\nreason = "not written yet"\n'
        "date = 2026-01-01\nexpires = 2026-02-01\n"
    )
    with (inventories / "group_data/sandbox.py").open("a") as file:
        file.write(f"\nwaivers = {str(tmp_path / 'waivers.toml')!r}\n")
    words = [
        "check",
        inventories / "sandbox.py",
        "--item",
        "DOC-OPS-4",
        "--item",
        "HARD-SRV-2",
        "--out",
        tmp_path / "out",
    ]
    done = deployed.launchgate(*words)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "expired" in (done.stdout + done.stderr).lower()


def test_without_a_fleet_the_cure_is_named(deployed: Fleet) -> None:
    environment = {**deployed.environment, "LAUNCHGATE_FLEET": "nosuch"}
    done = subprocess.run(
        [str(REPOSITORY / ".venv/bin/launchgate"), "check", INVENTORY],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "launchgate sandbox up" in done.stdout + done.stderr
