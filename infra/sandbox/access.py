"""Keys and OpenSSH configuration by which operators and tools reach a fleet."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

from infra.sandbox.computer import find_tool, run
from infra.sandbox.image import ADMIN_USER
from infra.sandbox.machine import Machine

# %C is a hash of the connection: control sockets have short path limits, so they live apart from deep directories.
_HOST = """Host {name} {address}
    HostName {address}
    User {user}
    HostKeyAlias {name}
    IdentityFile {directory}/id_ed25519
    IdentitiesOnly yes
    UserKnownHostsFile {directory}/known_hosts
    StrictHostKeyChecking yes
    PasswordAuthentication no
    ConnectTimeout 5
    ServerAliveInterval 5
    ServerAliveCountMax 3
    ControlMaster auto
    ControlPath {directory}/c-%C
    ControlPersist 60s
    LogLevel ERROR
"""


def ensure_key(directory: Path) -> str:
    """Make the fleet's key pair unless there is one; return the public key."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    key = directory / "id_ed25519"
    public = key.with_name("id_ed25519.pub")
    if not (key.exists() and public.exists()):
        key.unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "launchgate sandbox", "-f", key])
    return public.read_text()


def write(directory: Path, machines: Iterable[Machine]) -> Path:
    """Write known_hosts and the OpenSSH configuration for the machines; return the configuration's path."""
    machines = list(machines)
    _replace(directory / "known_hosts", "".join(f"{machine.host_key()}\n" for machine in machines))
    entries = [
        _HOST.format(name=machine.name, address=machine.address, user=ADMIN_USER, directory=directory)
        for machine in machines
    ]
    _replace(directory / "config", "\n".join(entries))
    return directory / "config"


def close(directory: Path, machines: Iterable[Machine]) -> None:
    """End the warm connections that were opened with this configuration."""
    if not (directory / "config").exists():
        return
    for machine in machines:
        command = [find_tool("ssh") or "ssh", "-F", str(directory / "config"), "-O", "exit", machine.name]
        # nothing is open most of the time, which ssh calls an error
        subprocess.run(command, capture_output=True, timeout=10, check=False)


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.chmod(0o600)
    new.replace(path)
