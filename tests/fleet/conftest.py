"""One fleet for all tests that need machines: booted once, deployed once, taken down at the end.

Its name is LAUNCHGATE_TEST_FLEET (default `test`), so that a demo may stay up beside it. A computer that cannot carry
a fleet fails these tests; it never skips them.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = os.environ.get("LAUNCHGATE_TEST_FLEET", "test")
INVENTORY = "inventories/sandbox.py"
DIST = REPOSITORY / "dist"
# Versions that only these tests use: 1.x may be a demo's.
FIRST, BETTER, BAD = "9.0.0", "9.1.0", "9.2.0"


@dataclass
class Fleet:
    """The fleet under test, and the commands an operator would give."""

    name: str
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What commands see: this fleet, whatever the shell says."""
        return {**os.environ, "LAUNCHGATE_FLEET": self.name, "COLUMNS": "200", "COVERAGE_GREENLETS": "gevent"}

    @property
    def directory(self) -> Path:
        """Where the sandbox keeps this fleet."""
        return Path(os.environ.get("LAUNCHGATE_HOME", "/var/lib/launchgate")) / "fleets" / self.name

    def start(self, words: Sequence[str | Path]) -> subprocess.Popen[str]:
        """Start a command in a process group of its own."""
        return subprocess.Popen(
            [str(word) for word in words],
            cwd=REPOSITORY,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str | Path, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [str(word) for word in words],
            cwd=REPOSITORY,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def launchgate(self, *words: str | Path, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """`launchgate …`"""
        return self.run(sys.executable, "-m", "infra.cli", *words, timeout=timeout)

    def pyinfra_command(self, entry: str, *options: str) -> list[str]:
        """The stock pyinfra CLI on this fleet."""
        return [sys.executable, "-m", "pyinfra", "-y", *options, INVENTORY, entry]

    def pyinfra(self, entry: str, *options: str) -> subprocess.CompletedProcess[str]:
        """A deploy to its end."""
        return self.run(*self.pyinfra_command(entry, *options))

    def ssh(self, machine: str, command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """One command on a machine."""
        return self.run("ssh", "-F", self.directory / "ssh/config", machine, command, timeout=timeout)

    def must(self, machine: str, command: str) -> str:
        """One command on a machine that has to succeed; its output."""
        done = self.ssh(machine, command)
        assert done.returncode == 0, f"{machine}: {command}: {done.stderr}{done.stdout}"
        return done.stdout.strip()

    def slots(self, machine: str) -> dict[str, Any]:
        """What the app machine's slots hold."""
        return dict(json.loads(self.must(machine, "sudo /usr/local/sbin/search-api-slot status")))

    def serving(self) -> dict[str, str]:
        """The version that each app machine serves."""
        found = {}
        for machine in ("app1", "app2"):
            slots = self.slots(machine)
            found[machine] = slots["slots"][slots["active"]]["version"]
        return found


def changes(output: str) -> int:
    """Number of changed operations in pyinfra's closing table."""
    totals = re.findall(r"Grand total\s+\S+\s+(\S+)", output)
    assert totals, f"no closing table in:\n{output[-3000:]}"
    return 0 if totals[-1] == "-" else int(totals[-1])


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """Eight bare machines; LAUNCHGATE_TEST_KEEP=1 goes on with those of the last run and leaves them up."""
    fleet = Fleet(NAME)
    keep = os.environ.get("LAUNCHGATE_TEST_KEEP") == "1"
    if not keep:
        fleet.launchgate("sandbox", "down")
    done = fleet.launchgate("sandbox", "up")
    assert done.returncode == 0, done.stderr
    yield fleet
    if not keep:
        fleet.launchgate("sandbox", "down")


@pytest.fixture(scope="session")
def artifact(fleet: Fleet) -> Path:
    """The release under test, built from this source."""
    for left in DIST.glob("9.*"):  # what an earlier run of these tests built from another source
        shutil.rmtree(left)
    done = fleet.launchgate("build", "--version", FIRST)
    assert done.returncode == 0, done.stdout + done.stderr
    return DIST / FIRST


@pytest.fixture(scope="session")
def deployed(fleet: Fleet, artifact: Path) -> Fleet:
    """The fleet with the first release on it, put there by the stock pyinfra CLI."""
    started = time.monotonic()
    done = fleet.pyinfra("infra/deploy.py", "--data", f"release={artifact.name}")
    fleet.seconds["first deploy"] = time.monotonic() - started
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return fleet


class Edge(requests.Session):
    """The service as its users reach it: by name, over verified TLS, at the load balancer's address."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self.trust_env = False  # a CA bundle of this computer must not replace the fleet's own CA
        from inventories.schema import load_inventory

        os.environ["LAUNCHGATE_FLEET"] = fleet.name
        self.inventory = load_inventory(REPOSITORY / INVENTORY)
        self.verify = str(self.inventory.ca_file)
        self.mount("https://", _ByAddress(self.inventory.edge_address, self.inventory.settings.domain))

    def api(self, method: str, path: str, token: str | None = None, **body: Any) -> requests.Response:
        """One call of the API."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"{self.inventory.public_url}/api/v1/{path}"
        return self.request(method, url, headers=headers, json=body or None, timeout=20)


class _ByAddress(requests.adapters.HTTPAdapter):
    def __init__(self, address: str, name: str) -> None:
        self._address, self._name = address, name
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, server_hostname=self._name, assert_hostname=self._name, **kwargs)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        assert request.url is not None
        request.headers["Host"] = self._name
        request.url = request.url.replace(self._name, self._address, 1)
        return super().send(request, *args, **kwargs)


@pytest.fixture
def edge(deployed: Fleet) -> Iterator[Edge]:
    """A session with the deployed service."""
    with Edge(deployed) as session:
        yield session
