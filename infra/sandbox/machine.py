"""One machine of a fleet: a systemd-nspawn guest with its own address, disk, keys and control group."""

import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from infra.sandbox import network
from infra.sandbox.computer import find_tool, run
from infra.sandbox.errors import SandboxError
from infra.sandbox.image import ADMIN_USER
from infra.sandbox.layers import Disk
from infra.sandbox.processes import Running, spawn

# Each guest gets a group of its own under every hierarchy systemd looks at; sharing one breaks systemd in the
# guests. The overlay is mounted in a mount namespace of its own: it goes with the guest, however that ends.
_LAUNCHER = """
set -e
for hierarchy in $LG_HIERARCHIES; do
    mkdir -p "$hierarchy/$LG_GROUP"
    echo $$ > "$hierarchy/$LG_GROUP/cgroup.procs"
done
mount -t overlay overlay -o "$LG_OVERLAY" "$LG_ROOT"
exec "$@"
"""


@dataclass(frozen=True)
class Machine:
    """One guest.

    Attributes:
        fleet: name of the fleet it belongs to.
        name: its host name.
        address: its IPv4 address.
        gateway: the fleet's gateway, which is this computer.
        directory: where its disk and records are.
        image: root of the image it starts from.
    """

    fleet: str
    name: str
    address: str
    gateway: str
    directory: Path
    image: Path

    @property
    def disk(self) -> Disk:
        """The machine's layers."""
        return Disk(self.directory, self.image)

    def alive(self) -> bool:
        """Whether the guest and its supervisor both run."""
        running = Running.read(self._record)
        return running is not None and running.alive()

    def answers(self) -> bool:
        """Whether sshd greets us on the machine's address."""
        try:
            with socket.create_connection((self.address, 22), timeout=1) as connection:
                connection.settimeout(2)
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def start(self, public_key: str, apt_proxy: str) -> None:
        """Boot the guest; a fresh disk is given its address, its keys and the operator's key first."""
        self._clear_away()
        if not self.disk.exists():
            self.disk.create()
            self._provision(public_key)
        (self.disk.top / "upper/etc/apt/apt.conf.d").mkdir(parents=True, exist_ok=True)
        (self.disk.top / "upper/etc/apt/apt.conf.d/01proxy").write_text(
            f'Acquire::http::Proxy "{apt_proxy}";\n'
        )
        (self.directory / "root").mkdir(exist_ok=True)
        environment = {
            "LG_HIERARCHIES": " ".join(str(path) for path in hierarchies()),
            "LG_GROUP": self._group,
            "LG_OVERLAY": self.disk.mount_options(),
            "LG_ROOT": str(self.directory / "root"),
        }
        command = [
            *(find_tool("unshare") or "unshare", "--mount", "--propagation", "private"),
            *("env", *(f"{key}={value}" for key, value in environment.items())),
            *("sh", "-c", _LAUNCHER, "launcher"),
            *(
                find_tool("systemd-nspawn") or "systemd-nspawn",
                "--quiet",
                "--keep-unit",
                "--register=no",
                "--boot",
            ),
            f"--directory={self.directory / 'root'}",
            *(f"--machine={self._short_name}", f"--hostname={self.name}"),
            f"--network-bridge={network.bridge_name(self.fleet)}",
            *("--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=read-only"),
        ]
        spawn(command, log=self.directory / "console.log").write(self._record)

    def stop(self, *, at_once: bool = False, patience: float = 20) -> None:
        """Shut the guest down; `at_once` pulls the plug.

        The supervisor turns SIGTERM into an orderly shutdown. What is left after `patience` seconds, in the
        control groups that only this machine has, is killed.
        """
        running = Running.read(self._record)
        if running and running.alive():
            running.end(gentle=signal.SIGKILL if at_once else signal.SIGTERM, patience=patience)
        self._clear_away()

    def remove(self) -> None:
        """Pull the plug and delete the disk."""
        self.stop(at_once=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def _record(self) -> Path:
        return self.directory / "running.json"

    @property
    def _short_name(self) -> str:
        # systemd-nspawn calls the machine's link vb-NAME, and a link's name holds 15 characters.
        return f"{self.fleet}-{self.address.rpartition('.')[2]}"

    @property
    def _group(self) -> str:
        return f"launchgate-{self.fleet}-{self.name}"

    def _provision(self, public_key: str) -> None:
        upper = self.disk.top / "upper"
        network_file = (
            upper / "etc/systemd/network/10-host0.network"
        )  # must sort before systemd's own 80-container
        network_file.parent.mkdir(parents=True, exist_ok=True)
        network_file.write_text(
            f"[Match]\nName=host0\n\n[Network]\nAddress={self.address}/24\nGateway={self.gateway}\n"
            "LinkLocalAddressing=ipv6\nLLMNR=no\nMulticastDNS=no\n"
        )
        (upper / "etc/machine-id").write_text(uuid.uuid4().hex + "\n")
        (upper / "etc/hostname").write_text(f"{self.name}\n")
        (upper / "etc/hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n{self.address} {self.name}\n")
        ssh = upper / "etc/ssh"
        ssh.mkdir(parents=True, exist_ok=True)
        key = ssh / "ssh_host_ed25519_key"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", key])
        self._authorise(upper, public_key)

    def _authorise(self, upper: Path, public_key: str) -> None:
        home = upper / "home" / ADMIN_USER
        folder = home / ".ssh"
        folder.mkdir(parents=True)
        (folder / "authorized_keys").write_text(public_key)
        passwd = (self.image / "etc/passwd").read_text().splitlines()
        uid, gid = next(line.split(":")[2:4] for line in passwd if line.startswith(f"{ADMIN_USER}:"))
        for path in (home, folder, folder / "authorized_keys"):
            os.chown(path, int(uid), int(gid))
            path.chmod(0o600 if path.is_file() else 0o700)

    def host_key(self) -> str:
        """The machine's public host key, as it goes into a known_hosts file.

        Raises:
            SandboxError: the disk holds none.
        """
        stack = sorted((self.directory / "layers").glob("*/upper/etc/ssh/ssh_host_ed25519_key.pub"))
        if not stack:
            raise SandboxError(f"{self.name} has no host key: launchgate sandbox down, then up")
        kind, key, *_ = stack[0].read_text().split()
        return f"{self.address},{self.name} {kind} {key}"

    def _clear_away(self) -> None:
        """Kill what is left in the machine's own control groups and remove them and its link."""
        groups = [path for base in hierarchies() if (path := base / self._group).exists()]
        for _ in range(100):
            left = _processes_in(groups)
            if not left:
                break
            for pid in left:
                _kill(pid)
            time.sleep(0.05)
        for group in groups:
            for folder in sorted(group.rglob("*"), key=lambda path: -len(path.parts)):
                if folder.is_dir():
                    folder.rmdir()
            group.rmdir()
        # The kernel takes a dead guest's link away in its own time; a guest that starts at once needs it gone.
        network.remove_link(f"vb-{self._short_name}")
        self._record.unlink(missing_ok=True)


def hierarchies() -> list[Path]:
    """Control group hierarchies that systemd uses on this computer: its own named one (v1) and the unified one."""
    found = []
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")):
            found.append(Path(where))
    return found


def _processes_in(groups: Iterable[Path]) -> set[int]:
    found: set[int] = set()
    for group in groups:
        for listing in group.rglob("cgroup.procs"):
            try:
                # 0 stands for a process outside our view; it is not ours
                found |= {int(pid) for pid in listing.read_text().split()} - {0, os.getpid()}
            except OSError:
                continue  # the group went while we looked
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, os.WNOHANG)
    except (ProcessLookupError, ChildProcessError):
        return


def boots(machines: Iterable[Machine], timeout: float) -> list[Machine]:
    """Wait until every machine's sshd answers; return those that do not within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    waiting = list(machines)
    while waiting and time.monotonic() < deadline:
        waiting = [machine for machine in waiting if not machine.answers()]
        if any(not machine.alive() for machine in waiting):
            break  # its supervisor gave up: no use in waiting on
        if waiting:
            time.sleep(0.1)
    return waiting


def settled(machine: Machine, ssh_config: Path, timeout: float = 30) -> str:
    """Wait until the guest's systemd has started everything; return its word for the state."""
    command = ["ssh", "-F", str(ssh_config), machine.name, "sudo systemctl is-system-running --wait"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return "starting"
    return done.stdout.strip() or "unreachable"
