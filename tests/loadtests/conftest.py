import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inventories.pki import authority, machine_certificate
from inventories.schema import Inventory, load_inventory
from loadtests.slo import SLO_FILE

STANDIN = Path(__file__).with_name("load_standin.py")
INVENTORY = """
lb = [("lb1", {"ssh_hostname": "127.0.71.2"})]
app = [("app1", {"ssh_hostname": "127.0.71.11"}), ("app2", {"ssh_hostname": "127.0.71.12"})]
db = [("db1", {"ssh_hostname": "127.0.71.31"})]
cache = [("cache1", {"ssh_hostname": "127.0.71.41"})]
customer = [("customer1", {"ssh_hostname": "127.0.71.61"})]
"""
GROUP_DATA = """
environment = "sandbox"
domain = "search.load-tests.internal"
control_addresses = ["127.0.0.0/8"]
secrets_source = "generated"
state_dir = {state_dir!r}
"""

Serve = Callable[..., int]


@pytest.fixture
def inventory_file(tmp_path: Path) -> Path:
    folder = tmp_path / "inventory"
    (folder / "group_data").mkdir(parents=True)
    (folder / "local.py").write_text(INVENTORY)
    (folder / "group_data" / "all.py").write_text(GROUP_DATA.format(state_dir=str(tmp_path / "state")))
    return folder / "local.py"


@pytest.fixture
def inventory(inventory_file: Path) -> Inventory:
    return load_inventory(inventory_file)


@pytest.fixture
def slo_file(tmp_path: Path) -> Path:
    """The declared objectives, with limits that a computer busy with other tests keeps too."""
    text = re.sub(r"(p9[59]_ms) = [0-9.]+", r"\1 = 1000.0", SLO_FILE.read_text())
    text = re.sub(r"(max_lag_p99_ms) = [0-9.]+", r"\1 = 2000.0", text)
    (tmp_path / "slo.toml").write_text(text)
    return tmp_path / "slo.toml"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a stand-in and returns its port; all end with the test, by their process."""
    running: list[subprocess.Popen[str]] = []

    def start(**settings: Any) -> int:
        told = {"address": "127.0.0.1", "port": 0, "version": "1.0.0"} | settings
        file = tmp_path / f"standin-{len(running)}.json"
        file.write_text(json.dumps(told))
        process = subprocess.Popen(
            [sys.executable, str(STANDIN), str(file)], stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        assert process.stdout is not None
        word, _, port = process.stdout.readline().partition(" ")
        assert word == "ready"
        return int(port)

    yield start
    for process in running:
        process.terminate()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def serve_machine(serve: Serve, inventory: Inventory, tmp_path: Path) -> Serve:
    """Starts a stand-in where the load expects an app machine, with the machine's own certificate."""

    def start(name: str, **settings: Any) -> int:
        machine = inventory.machine(name)
        authority(inventory)
        pair = machine_certificate(inventory, machine)
        (tmp_path / f"{name}.crt").write_text(pair.certificate)
        (tmp_path / f"{name}.key").write_text(pair.key)
        files = {"certificate": str(tmp_path / f"{name}.crt"), "key": str(tmp_path / f"{name}.key")}
        return serve(address=machine.address, port=8443, **files, **settings)

    return start
