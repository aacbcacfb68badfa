"""A bench for the gate: a small inventory, machines that are directories, and an `ssh` that runs commands in them."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

SSH = """\
#!/bin/sh
# Called as: ssh -F CONFIG -o X -o Y HOST [--] COMMAND
while :; do case "$1" in -F|-o) shift 2;; -*) shift;; *) break;; esac; done
host=$1; shift
if [ "$1" = "--" ]; then shift; fi
export MACHINE="$MACHINES/$host" HOST="$host"
echo "$host: $*" >> "$MACHINES/log"
if [ ! -d "$MACHINE" ]; then echo "ssh: connect to host $host port 22: Connection refused" >&2; exit 255; fi
cd "$MACHINE" && exec sh -c "$*"
"""
SUDO = """\
#!/bin/sh
if [ -e "$MACHINE/no-sudo" ]; then echo "sudo: a password is required" >&2; exit 1; fi
while [ "$1" != "--" ]; do shift; done
shift
exec "$@"
"""
CATALOGUE_ITEM = """
[[item]]
id = "{id}"
title = "Title of {id}"
why = "Because."
severity = "{severity}"
phase = "{phase}"
also = {also}
scope = ["all"]
how = "By looking."
cure = "Mend {id}."
"""


_NUMBERS = itertools.count()


@dataclass
class Ran:
    """A finished run of the gate."""

    rc: int
    text: str
    report: dict[str, Any]

    def item(self, item_id: str) -> dict[str, Any]:
        return next(one for one in self.report["items"] if one["id"] == item_id)

    def outcome(self, item_id: str) -> str:
        return str(self.item(item_id)["outcome"])


class Bench:
    """Builds a gate to be run in a process of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        # A name of its own, for Python remembers modules by name from one in-process run to the next.
        self.checks = self._directory(f"chapters_{next(_NUMBERS)}")
        self.catalogue = self._directory("catalogue")
        self.machines = self._directory("machines")
        self.out = root / "out"
        self.state = self._directory("state")
        self.waivers = root / "waivers.toml"
        self.inventory = root / "inventories" / "bench.py"
        self._write_tools()
        self.hosts(lb=["lb1"], app=["app1", "app2"], db=["db1"], cache=["cache1"])

    def _directory(self, name: str) -> Path:
        path = self.root / name
        path.mkdir()
        return path

    def _write_tools(self) -> None:
        tools = self._directory("bin")
        for name, text in (("ssh", SSH), ("sudo", SUDO)):
            (tools / name).write_text(text)
            (tools / name).chmod(0o755)

    def hosts(self, **roles: list[str]) -> None:
        """Write the inventory and a directory for every machine."""
        names = list(dict.fromkeys(name for members in roles.values() for name in members))
        address = {name: f"127.1.0.{number}" for number, name in enumerate(names, 1)}
        groups = "".join(
            f"{role} = {[(name, {'ssh_hostname': address[name]}) for name in members]!r}\n"
            for role, members in roles.items()
        )
        (self.inventory.parent / "group_data").mkdir(parents=True, exist_ok=True)
        self.inventory.write_text(groups)
        (self.root / "ssh_config").write_text("")
        self.settings()
        for name in names:
            (self.machines / name).mkdir(exist_ok=True)

    def settings(self, **more: object) -> None:
        """Write group_data/bench.py."""
        known = {
            "environment": "sandbox",
            "domain": "search.bench.internal",
            "control_addresses": ["127.0.0.0/8"],
            "secrets_source": "generated",
            "ssh_config_file": str(self.root / "ssh_config"),
            "state_dir": str(self.state),
            "waivers": str(self.waivers),
            **more,
        }
        text = "".join(f"{key} = {value!r}\n" for key, value in known.items())
        (self.inventory.parent / "group_data" / "bench.py").write_text(text)

    def items(self, *ids: str, **words: str) -> None:
        """Write a catalogue of these ids."""
        known = {"severity": "high", "phase": "pre", "also": "[]", **words}
        with (self.catalogue / "01_bench.toml").open("a") as file:
            if file.tell() == 0:
                file.write('chapter = "Bench"\n')
            for one in ids:
                file.write(CATALOGUE_ITEM.format(id=one, **known))

    def file(self, name: str, text: str) -> Path:
        """Write a check or sabotage file with the usual imports."""
        head = "import pytest, os, pathlib\nfrom checks.gate import *\n"
        path = self.checks / name
        path.write_text(head + textwrap.dedent(text))
        return path

    def environment(self) -> dict[str, str]:
        path = f"{self.root / 'bin'}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "MACHINES": str(self.machines), "PYTHONPATH": str(REPOSITORY)}

    def pytest_arguments(self, *more: str) -> list[str]:
        return [
            str(self.checks), "-p", "checks.gate.plugin", "-p", "no:locust", "-p", "no:cacheprovider",
            "-p", "no:unraisableexception",
            "--rootdir", str(self.root), "-c", "/dev/null", "--checks-root", str(self.checks),
            "--catalogue", str(self.catalogue), "--inventory", str(self.inventory), "--out", str(self.out), *more,
        ]  # fmt: skip

    def run(self, *more: str) -> Ran:
        """Run the gate in this process: the same plugin, without the seconds that a start takes."""
        told = io.StringIO()
        arguments = ["--import-mode=importlib", "--capture=sys", *self.pytest_arguments(*more)]
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told), self.in_environment():
            code = pytest.main(arguments)
        return self._ran(int(code), told.getvalue())

    @contextlib.contextmanager
    def in_environment(self) -> Iterator[None]:
        """This process with the bench's ssh, as a process of its own would have it."""
        kept = dict(os.environ)
        os.environ.update(self.environment())
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(kept)

    def run_process(self, *more: str) -> Ran:
        """Run the gate as CI would, in a process."""
        return self.spawn([sys.executable, "-m", "pytest", *self.pytest_arguments(*more)])

    def spawn(self, argv: list[str]) -> Ran:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            env=self.environment(),
            cwd=self.root,
            timeout=120,
            check=False,
        )
        return self._ran(done.returncode, done.stdout + done.stderr)

    def _ran(self, code: int, text: str) -> Ran:
        report = self.out / "report.json"
        document = json.loads(report.read_text()) if report.exists() else {}
        return Ran(code, text, document)

    def log(self) -> list[str]:
        """Every command that reached a machine."""
        log = self.machines / "log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def green(bench: Bench) -> Bench:
    """A bench with one green check on two machines."""
    bench.items("T-APP-1")
    bench.file(
        "check_app.py",
        """
        @item("T-APP-1", on="app")
        def check_it_says_so(machine, evidence):
            seen = machine.run("echo yes", sudo=True)
            evidence.expect(looked_at="echo", observed=seen.stdout.strip(), expected="yes")
        """,
    )
    return bench
