"""A named fleet of machines: up, down, status, snapshot and restore, each safe to repeat or to interrupt."""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.sandbox import (
    access,
    computer,
    image,
    limits,
    locations,
    network,
    openai,
    package_cache,
    package_sources,
)
from infra.sandbox.errors import SandboxError
from infra.sandbox.machine import Machine, boots, settled
from infra.sandbox.processes import Running

# name -> last octet of the address; the default fleet of the design
MACHINES = {
    "lb1": 11,
    "app1": 21,
    "app2": 22,
    "db1": 31,
    "db2": 32,
    "cache1": 41,
    "ops1": 51,
    "customer1": 61,
}
# MySQL's server comes from the unstable suite; its package needs a newer systemd than bookworm has.
_SUITES_WITH = {"mariadb": ("bookworm", "trixie"), "mysql": ("trixie",)}
Say = Callable[[str], None]


@dataclass(frozen=True)
class MachineStatus:
    """What is known of one machine, or of the stand-in for OpenAI, which is a process on this computer.

    Attributes:
        name, address: as in the fleet.
        state: `running`, `booting`, `down`, or `broken` (its process runs, sshd does not answer).
        snapshots: names of its snapshots.
    """

    name: str
    address: str
    state: str
    snapshots: list[str]


class Fleet:
    """One fleet, by name, whether it exists yet or not."""

    def __init__(self, name: str, say: Say = print) -> None:
        self.name = name
        self.directory = locations.fleet_directory(name)
        self._say = say

    # -- what operators ask for

    def up(self, suite: str | None = None, database: str | None = None) -> None:
        """Bring every machine up, making what is missing and mending what is broken.

        Args:
            suite: the distribution's suite; None is the fleet's own, or for a new fleet the oldest one
                that carries the database.
            database: `mariadb` or `mysql`; None is the fleet's own, or for a new fleet `mariadb`.

        Raises:
            SandboxError: this computer cannot carry a fleet, the fleet exists with another suite or database,
                or a machine does not boot.
        """
        computer.require()
        _require_known(suite, database)
        with self._alone("up"):
            started = time.monotonic()
            description = self._describe(suite, database)
            machines = self._machines(description)
            key = access.ensure_key(self.directory / "ssh")
            limits.raise_for_fleets()
            network.ensure_bridge(self.name, description["gateway"])
            proxy = package_cache.open_on(description["gateway"], self._proxy_record)
            self._store(
                description | {"ai": openai.open_on(description["gateway"], self.directory).described()}
            )
            down = [machine for machine in machines if not (machine.alive() and machine.answers())]
            self._boot(down, key, proxy)
            access.write(self.directory / "ssh", machines)
            self._settle(down)
            self._say(
                f"fleet {self.name}: {len(machines)} machines up "
                f"({len(down)} started) in {time.monotonic() - started:.1f} s"
            )

    def down(self, *, keep: bool = False) -> None:
        """Stop every machine and take away links and processes; delete the disks unless `keep`."""
        if not self.directory.exists():
            self._say(f"fleet {self.name}: nothing to take down")
            return
        computer.require()
        with self._alone("down"):
            machines = self._machines(self._read()) if self._file.exists() else []
            access.close(self.directory / "ssh", machines)
            with ThreadPoolExecutor(len(machines) or 1) as pool:
                list(pool.map(lambda machine: machine.stop(at_once=not keep), machines))
            forwarder = Running.read(self._proxy_record)
            if forwarder:
                forwarder.end()
            self._proxy_record.unlink(missing_ok=True)
            openai.end(self.directory)
            network.remove_bridge(self.name)
            if not keep:
                self._delete()
        if not any(Running.read(path) for path in self.directory.parent.glob("*/package-cache.json")):
            package_cache.end()
            limits.put_back()
        self._say(f"fleet {self.name}: down" + (", disks kept" if keep else ""))

    def status(self) -> list[MachineStatus]:
        """State of every machine and of the stand-in for OpenAI, without changing anything."""
        if not self._file.exists():
            return []
        description = self._read()
        machines = [
            MachineStatus(m.name, m.address, _state(m), m.disk.snapshots() if m.disk.exists() else [])
            for m in self._machines(description)
        ]
        return [
            *machines,
            MachineStatus("openai", description["gateway"], openai.state(self.directory), []),
        ]

    def snapshot(self, name: str, only: Iterable[str] = ()) -> None:
        """Remember the disks of all machines, or of those named; each is shut down and booted again."""
        for machine in self._chosen(only):
            machine.disk.require_room_for(name)
        self._with_disks_off("snapshot", only, lambda machine: machine.disk.snapshot(name), at_once=False)

    def restore(self, name: str, only: Iterable[str] = ()) -> None:
        """Put disks back to a snapshot; what machines did since is lost.

        Raises:
            SandboxError: a machine has no such snapshot; then no machine was touched.
        """
        for machine in self._chosen(only):
            if name not in machine.disk.snapshots():
                known = ", ".join(machine.disk.snapshots()) or "none"
                raise SandboxError(f"{machine.name} has no snapshot {name!r} (known: {known})", exit_code=2)
        self._with_disks_off("restore", only, lambda machine: machine.disk.restore(name), at_once=True)

    def ssh_config(self) -> Path:
        """The fleet's OpenSSH configuration.

        Raises:
            SandboxError: the fleet was never brought up.
        """
        self._read()
        return self.directory / "ssh" / "config"

    def machine(self, name: str) -> Machine:
        """One machine by name.

        Raises:
            SandboxError: there is none of that name.
        """
        return self._chosen([name])[0]

    # -- how it is done

    @property
    def _file(self) -> Path:
        return self.directory / "fleet.json"

    @property
    def _proxy_record(self) -> Path:
        return self.directory / "package-cache.json"

    def _read(self) -> dict[str, Any]:
        try:
            description: dict[str, Any] = json.loads(self._file.read_text())
        except FileNotFoundError:
            raise SandboxError(f"there is no fleet {self.name!r}: launchgate sandbox up") from None
        except ValueError as torn:
            raise SandboxError(
                f"{self._file} is damaged ({torn}): launchgate sandbox down, then up"
            ) from torn
        return description

    def _describe(self, suite: str | None, database: str | None) -> dict[str, Any]:
        """Read the fleet's description, or decide and store it when the fleet is new."""
        if self._file.exists():
            known = self._read()
            if suite not in (None, known["suite"]) or database not in (None, known["database"]):
                raise SandboxError(
                    f"fleet {self.name!r} is {known['suite']} with {known['database']}: take it down first, "
                    "or name another with LAUNCHGATE_FLEET",
                    exit_code=2,
                )
            if Path(known["image"]).exists():
                return known
            raise SandboxError(f"the image of fleet {self.name!r} is gone: launchgate sandbox down, then up")
        database = database or "mariadb"
        suite = suite or _SUITES_WITH[database][0]
        base = image.ensure(suite, database, self._say)
        subnet = network.pick_subnet(self.name, self._subnets_of_others())
        gateway = str(subnet[1])
        description = {
            "name": self.name,
            "suite": suite,
            "database": database,
            "subnet": str(subnet),
            "gateway": gateway,
            "apt_proxy": f"http://{gateway}:3142",
            "image": str(base),
            "machines": [{"name": name, "address": str(subnet[octet])} for name, octet in MACHINES.items()],
        }
        self._store(description)
        return description

    def _store(self, description: dict[str, Any]) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(description, indent=2) + "\n")
        new.replace(self._file)

    def _subnets_of_others(self) -> list[str]:
        others = (path for path in self.directory.parent.glob("*/fleet.json") if path != self._file)
        found = []
        for path in others:
            try:
                found.append(json.loads(path.read_text())["subnet"])
            except (OSError, ValueError, KeyError):
                continue  # half-written or just removed: it holds no subnet
        return found

    def _machines(self, description: dict[str, Any]) -> list[Machine]:
        return [
            Machine(
                fleet=self.name,
                name=entry["name"],
                address=entry["address"],
                gateway=description["gateway"],
                directory=self.directory / "machines" / entry["name"],
                image=image.root(Path(description["image"])),
            )
            for entry in description["machines"]
        ]

    def _chosen(self, only: Iterable[str]) -> list[Machine]:
        machines = {machine.name: machine for machine in self._machines(self._read())}
        names = list(only) or list(machines)
        for name in names:
            if name not in machines:
                raise SandboxError(
                    f"fleet {self.name!r} has no machine {name!r}: it has {', '.join(machines)}", exit_code=2
                )
        return [machines[name] for name in names]

    def _boot(self, machines: list[Machine], key: str, proxy: str) -> None:
        if not machines:
            return
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda machine: machine.start(key, proxy), machines))
        dead = boots(machines, timeout=60)
        if dead:
            raise SandboxError(
                "; ".join(
                    f"{machine.name} did not boot: see {machine.directory / 'console.log'}"
                    for machine in dead
                )
            )

    def _settle(self, machines: list[Machine]) -> None:
        config = self.directory / "ssh" / "config"
        if not machines:
            return
        with ThreadPoolExecutor(len(machines)) as pool:
            states = pool.map(lambda machine: settled(machine, config), machines)
        for machine, state in zip(machines, states, strict=True):
            if state != "running":
                self._say(f"{machine.name}: systemd says {state!r} (launchgate sandbox ssh {machine.name})")

    def _with_disks_off(
        self, verb: str, only: Iterable[str], change: Callable[[Machine], None], *, at_once: bool
    ) -> None:
        computer.require()
        with self._alone(verb):
            started = time.monotonic()
            description = self._read()
            machines = self._chosen(only)
            key = access.ensure_key(self.directory / "ssh")
            proxy = description["apt_proxy"]

            def turn(machine: Machine) -> None:
                machine.stop(at_once=at_once)
                change(machine)

            with ThreadPoolExecutor(len(machines)) as pool:
                list(pool.map(turn, machines))
            network.ensure_bridge(self.name, description["gateway"])
            self._boot(machines, key, proxy)
            self._settle(machines)
            self._say(f"{verb} of {len(machines)} machine(s) took {time.monotonic() - started:.1f} s")

    def _delete(self) -> None:
        for machine in (self.directory / "machines").glob("*"):
            shutil.rmtree(machine, ignore_errors=True)
        for path in self.directory.iterdir():
            if path.name != "lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.rmtree(self.directory)

    @contextmanager
    def _alone(self, verb: str) -> Iterator[None]:
        """Hold the fleet's lock; the kernel lets go of it when its holder dies."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / "lock"
        with path.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = path.read_text().strip() or "another process"
                raise SandboxError(
                    f"fleet {self.name!r} is busy: {holder}; try again when it is done"
                ) from None
            lock.truncate(0)
            lock.write(f"process {os.getpid()} runs `{verb}` since {time.strftime('%H:%M:%S')}")
            lock.flush()
            yield
            lock.truncate(0)


def _require_known(suite: str | None, database: str | None) -> None:
    if database is not None and database not in _SUITES_WITH:
        raise SandboxError(f"--database {database}: known are {', '.join(_SUITES_WITH)}", exit_code=2)
    if suite is not None and suite not in package_sources.KNOWN_SUITES:
        raise SandboxError(
            f"--suite {suite}: known suites are {', '.join(package_sources.KNOWN_SUITES)}", exit_code=2
        )
    carrying = _SUITES_WITH[database or "mariadb"]
    if suite is not None and suite not in carrying:
        raise SandboxError(
            f"--database {database} needs --suite {carrying[0]}: its packages do not install on {suite}",
            exit_code=2,
        )


def _state(machine: Machine) -> str:
    if not machine.alive():
        return "down"
    return "running" if machine.answers() else "broken"
