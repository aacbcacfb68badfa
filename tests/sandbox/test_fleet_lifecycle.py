"""A fleet of real machines: up, mended, remembered, brought back, and gone without a trace."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.sandbox import locations

pytestmark = pytest.mark.fleet
FLEET = "tlife"


def launchgate(*words: str, fleet: str = FLEET, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra.cli", *words],
        env={**os.environ, "LAUNCHGATE_FLEET": fleet, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def status() -> dict[str, str]:
    machines = json.loads(launchgate("sandbox", "status", "--json").stdout)
    return {machine["name"]: machine["state"] for machine in machines}


def ssh(host: str, command: str) -> str:
    done = launchgate("sandbox", "ssh", host, command)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def footprint() -> dict[str, object]:
    """What a fleet could leave behind on this computer: mounts, links, firewall, forwarding, processes, groups."""

    def out(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    return {
        "mounts": sorted(Path("/proc/mounts").read_text().splitlines()),
        "links": sorted(link["ifname"] for link in json.loads(out("ip", "-json", "link"))),
        "routes": out("ip", "-4", "route", "show", "table", "all"),
        "firewall": out("nft", "list", "ruleset"),
        "forwarding": Path("/proc/sys/net/ipv4/ip_forward").read_text(),
        "limits": Path("/proc/sys/fs/inotify/max_user_instances").read_text(),
        "groups": sorted(str(path) for path in Path("/sys/fs/cgroup").glob("**/launchgate-" + FLEET + "-*")),
        "processes": sorted(_ours()),
    }


def _ours() -> list[str]:
    """Command lines of live processes that belong to the test's fleet (a zombie has none)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended while we looked
        if f"fleets/{FLEET}/" in line:
            found.append(line)
    return found


@pytest.fixture(scope="module")
def before() -> dict[str, object]:
    return footprint()


@pytest.fixture(scope="module", autouse=True)
def fleet(before: dict[str, object]) -> Iterator[None]:
    assert not before["processes"], "an earlier run left machines behind: launchgate sandbox down"
    done = launchgate("sandbox", "up")
    assert done.returncode == 0, done.stderr
    yield
    launchgate("sandbox", "down")


def test_machines_start_as_a_rented_server_would() -> None:
    assert set(status().values()) == {"running"}
    assert ssh("app1", "sudo systemctl is-system-running; hostname; id -un") == "running\napp1\nadmin"
    installed = ssh("app1", "dpkg-query -W -f '${Package}\\n'").splitlines()
    assert not {"nginx", "mariadb-server", "redis-server", "nftables"} & set(installed)
    root = subprocess.run(
        [
            "ssh",
            "-F",
            str(locations.fleet_directory(FLEET) / "ssh/config"),
            "-o",
            "ControlPath=none",
            "-l",
            "root",
            "app1",
            "id",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert root.returncode == 255, "root must not be able to log in"


def test_machines_have_a_package_cache_and_no_other_way_out() -> None:
    assert "Err" not in ssh("db1", "sudo apt-get update -o APT::Update::Error-Mode=any 2>&1 && echo fetched")
    probe = "timeout 3 bash -c '</dev/tcp/1.1.1.1/443' 2>/dev/null && echo open || echo closed"
    assert ssh("db1", probe) == "closed"


def test_up_again_changes_nothing() -> None:
    boot = ssh("app1", "cat /proc/sys/kernel/random/boot_id; uptime -s")
    assert "(0 started)" in launchgate("sandbox", "up").stdout
    assert ssh("app1", "cat /proc/sys/kernel/random/boot_id; uptime -s") == boot


def test_a_killed_machine_is_mended_and_keeps_its_disk() -> None:
    ssh("cache1", "sudo touch /kept; sync")
    record = json.loads((locations.fleet_directory(FLEET) / "machines/cache1/running.json").read_text())
    os.kill(record["pid"], signal.SIGKILL)
    time.sleep(0.3)
    assert status()["cache1"] == "down"
    done = launchgate("sandbox", "up")
    assert "(1 started)" in done.stdout, done.stderr
    assert ssh("cache1", "ls /kept") == "/kept"


def test_an_up_killed_half_way_is_finished_by_the_next() -> None:
    launchgate("sandbox", "down")
    for delay in (0.6, 1.2, 2.0):
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.cli", "sandbox", "up"],
            env={**os.environ, "LAUNCHGATE_FLEET": FLEET},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(delay)
        process.kill()
        process.wait()
    done = launchgate("sandbox", "up")
    assert done.returncode == 0, done.stderr
    assert set(status().values()) == {"running"}


def test_a_lost_bridge_comes_back() -> None:
    subprocess.run(["ip", "link", "delete", f"lg-{FLEET}"], check=True)
    done = launchgate("sandbox", "up")
    assert done.returncode == 0, done.stderr
    assert set(status().values()) == {"running"}


def test_restore_brings_back_what_was_and_drops_what_came_after() -> None:
    ssh("db1", "echo old | sudo tee /marker")
    assert launchgate("sandbox", "snapshot", "known", "--host", "db1", "--host", "db2").returncode == 0
    ssh("db1", "echo new | sudo tee /marker; sudo touch /late")
    assert launchgate("sandbox", "restore", "known", "--host", "db1").returncode == 0
    assert ssh("db1", "cat /marker; ls /late 2>/dev/null || echo gone") == "old\ngone"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["sandbox", "ssh", "web9"], "no machine 'web9': it has lb1"),
        (["sandbox", "restore", "never"], "no snapshot 'never'"),
        (["sandbox", "snapshot", "Bad Name"], "snapshot's name"),
        (["sandbox", "up", "--suite", "trixie"], "is bookworm with mariadb: take it down first"),
        (["sandbox", "up", "--database", "mysql", "--suite", "bookworm"], "needs --suite trixie"),
        (["sandbox", "up", "--suite", "potato"], "known suites are bookworm, trixie"),
        (["sandbox", "up", "--database", "oracle"], "known are mariadb, mysql"),
        (["sandbox", "fly"], "No such command 'fly'"),
    ],
)
def test_a_wrong_request_is_one_line_and_a_usage_error(words: list[str], complaint: str) -> None:
    done = launchgate(*words)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert set(status().values()) == {"running"}


def test_a_second_command_on_a_busy_fleet_says_who_has_it() -> None:
    first = subprocess.Popen(
        [sys.executable, "-m", "infra.cli", "sandbox", "restore", "known", "--host", "db2"],
        env={**os.environ, "LAUNCHGATE_FLEET": FLEET},
        stdout=subprocess.DEVNULL,
    )
    lock = locations.fleet_directory(FLEET) / "lock"
    deadline = time.monotonic() + 10
    while "restore" not in lock.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    second = launchgate("sandbox", "up")
    assert first.wait(60) == 0
    assert second.returncode == 5
    assert f"process {first.pid} runs `restore`" in second.stderr


def test_down_leaves_the_computer_as_it_was(before: dict[str, object]) -> None:
    done = launchgate("sandbox", "down")
    assert done.returncode == 0, done.stderr
    assert footprint() == before
    assert not locations.fleet_directory(FLEET).exists()
    assert "nothing to take down" in launchgate("sandbox", "down").stdout
