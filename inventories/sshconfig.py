"""Writes the OpenSSH config with which tools reach every machine by name, over shared connections."""

from __future__ import annotations

import os
from pathlib import Path

from inventories.schema import Inventory, Machine


def write_ssh_config(inventory: Inventory) -> Path:
    """The config's path; written atomically below the state directory, mode 0600."""
    folder = inventory.state_dir / "ssh"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "config"
    text = "\n".join(_stanza(inventory, machine, folder) for machine in inventory.machines)
    if path.is_file() and path.read_text() == text:
        return path
    temporary = folder / f".config.{os.getpid()}"
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    temporary.replace(path)
    return path


def _stanza(inventory: Inventory, machine: Machine, folder: Path) -> str:
    lines = [
        f"Host {machine.name}",
        f"HostName {machine.address}",
        f"Port {machine.ssh_port}",
        f"User {machine.ssh_user}",
        f"StrictHostKeyChecking {inventory.settings.ssh_strict_host_key_checking}",
        "BatchMode yes",
        "ConnectTimeout 10",
        "ControlMaster auto",
        f"ControlPath {folder}/%C",
        "ControlPersist 60s",
    ]
    if machine.ssh_key is not None:
        lines += [f"IdentityFile {machine.ssh_key.expanduser()}", "IdentitiesOnly yes"]
    if machine.known_hosts is not None:
        lines.append(f"UserKnownHostsFile {machine.known_hosts.expanduser()}")
    return "\n    ".join(lines) + "\n"
