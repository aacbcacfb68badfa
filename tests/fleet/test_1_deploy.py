"""Stock pyinfra brings bare machines to a working service; twice changes nothing; killed anywhere, it converges."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.fleet.conftest import FIRST, Fleet, changes

pytestmark = pytest.mark.fleet

# Seconds after which consecutive first deploys are killed; each goes on where the one before was struck down.
KILLED_AFTER = (3.0, 6.0, 9.0, 12.0, 16.0, 20.0, 24.0, 28.0)


def test_a_deploy_killed_at_eight_points_converges(fleet: Fleet, artifact: Path) -> None:
    command = fleet.pyinfra_command("infra/deploy.py", "--data", f"release={artifact.name}")
    for seconds in KILLED_AFTER:
        process = fleet.start(command)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    done = fleet.run(*command)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert fleet.serving() == {"app1": FIRST, "app2": FIRST}


def test_a_second_run_changes_nothing(deployed: Fleet) -> None:
    done = deployed.pyinfra("infra/deploy.py")
    assert done.returncode == 0, done.stdout[-4000:]
    assert changes(done.stdout + done.stderr) == 0, (done.stdout + done.stderr)[-6000:]
    drift = deployed.launchgate("drift", "inventories/sandbox.py")
    assert drift.returncode == 0, drift.stdout + drift.stderr


def test_a_changed_file_is_drift_and_the_next_deploy_puts_it_back(deployed: Fleet) -> None:
    deployed.must("lb1", "sudo sh -c 'echo \"# changed by hand\" >> /etc/nftables.conf'")
    drift = deployed.launchgate("drift", "inventories/sandbox.py")
    assert drift.returncode == 3, drift.stdout + drift.stderr
    assert "lb1" in drift.stdout
    assert "app1" not in drift.stdout
    done = deployed.pyinfra("infra/platform.py")
    assert done.returncode == 0, done.stdout[-4000:]
    assert "changed by hand" not in deployed.must("lb1", "sudo cat /etc/nftables.conf")
    assert deployed.launchgate("drift", "inventories/sandbox.py").returncode == 0


def test_only_the_load_balancer_answers_from_outside_the_fleet(deployed: Fleet) -> None:
    # From one machine of the fleet to all others: the databases and the cache answer to app machines only.
    probe = "timeout 2 bash -c '</dev/tcp/{}/{}' 2>/dev/null && echo open || echo closed"
    addresses = {
        name: deployed.must(name, "hostname -I").split()[0] for name in ("db1", "cache1", "customer1", "lb1")
    }
    for name, port in (("db1", 3306), ("cache1", 6379), ("customer1", 3306)):
        assert deployed.must("lb1", probe.format(addresses[name], port)) == "closed", (name, port)
        assert deployed.must("app1", probe.format(addresses[name], port)) == "open", (name, port)
    assert deployed.must("db1", probe.format(addresses["lb1"], 443)) == "open"


def test_after_a_reboot_everything_is_as_it_was(deployed: Fleet) -> None:
    assert (
        deployed.launchgate("sandbox", "snapshot", "deployed").returncode == 0
    )  # shuts down and boots again
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ready = [deployed.slots(name)["slots"] for name in ("app1", "app2")]
        if all(any(slot.get("ready") for slot in slots.values()) for slots in ready):
            break
        time.sleep(1)
    assert deployed.serving() == {"app1": FIRST, "app2": FIRST}
    for name in ("lb1", "app1", "app2", "db1", "db2", "cache1", "ops1", "customer1"):
        assert deployed.must(name, "systemctl --failed --no-legend") == "", name
    # Debian's MariaDB opens the port to the network after the first reboot unless its socket unit is off.
    assert "mariadb.socket" not in deployed.must("db1", "systemctl list-sockets --no-legend")
