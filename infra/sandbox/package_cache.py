"""One caching proxy for Debian packages, shared by all fleets and kept between runs.

The machines of a fleet have no route out: this proxy is all they reach, which also proves that a deploy
needs no package index for Python. apt-cacher-ng does the work; we start it, and end it with the last fleet.
"""

import shutil
import socket
from pathlib import Path

from infra.sandbox import locations, package_sources
from infra.sandbox.computer import find_tool
from infra.sandbox.errors import SandboxError
from infra.sandbox.processes import Running, keep_when_it_answers, knock, spawn


def directory() -> Path:
    """Where the proxy keeps packages, its configuration and its record of being up."""
    return locations.cache_directory() / "packages"


def ensure_up() -> int:
    """Start the proxy on loopback unless it runs; return its port.

    Raises:
        SandboxError: it does not answer within 10 seconds.
    """
    record = directory() / "running.json"
    running = Running.read(record)
    if running and running.alive():
        return int(running.note)
    port = _free_port()
    command = [
        *("setpriv", "--reuid=apt-cacher-ng", "--regid=apt-cacher-ng", "--clear-groups"),
        *(find_tool("apt-cacher-ng") or "apt-cacher-ng", "-c", str(_configure(port)), "ForeGround=1"),
    ]
    running = spawn(command, log=directory() / "proxy.log", note=str(port))
    keep_when_it_answers(running, lambda: knock(("127.0.0.1", port)), record, "the package cache")
    return port


def open_on(address: str, record: Path) -> str:
    """Make the proxy reachable on a fleet's gateway address; return its URL there."""
    port = ensure_up()
    forwarder = Running.read(record)
    if not (forwarder and forwarder.alive() and forwarder.note == str(port)):
        if forwarder:
            forwarder.end()
        socket_activate = find_tool("systemd-socket-activate") or "systemd-socket-activate"
        forwarder = spawn(
            [
                socket_activate,
                "-l",
                f"{address}:3142",
                "/lib/systemd/systemd-socket-proxyd",
                f"127.0.0.1:{port}",
            ],
            log=record.with_suffix(".log"),
            note=str(port),
        )
        keep_when_it_answers(forwarder, lambda: knock((address, 3142)), record, "the package cache")
    return f"http://{address}:3142"


def end() -> None:
    """End the proxy; what it cached stays."""
    record = directory() / "running.json"
    running = Running.read(record)
    if running:
        running.end()
    record.unlink(missing_ok=True)


def _configure(port: int) -> Path:
    folder = directory() / "configuration"
    folder.mkdir(parents=True, exist_ok=True)
    for writable in (directory() / "archive", directory() / "log"):
        writable.mkdir(exist_ok=True)
        shutil.chown(writable, "apt-cacher-ng", "apt-cacher-ng")
    lines = [
        f"CacheDir: {directory() / 'archive'}",
        f"LogDir: {directory() / 'log'}",
        f"Port: {port}",
        "BindAddress: 127.0.0.1",
        "ExThreshold: 30",
        # A machine asks for names the archive moved on from: pass the answer on instead of holding the file back.
        "FreshIndexMaxAge: 60",
    ]
    upstream = package_sources.read().proxy
    if upstream:
        lines.append(f"Proxy: {upstream}")
    (folder / "acng.conf").write_text("\n".join(lines) + "\n")
    return folder


def _free_port() -> int:
    """A free loopback port that apt-cacher-ng accepts: it cannot bind above 32767."""
    for port in range(23142, 23642):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise SandboxError("no free port between 23142 and 23641 on 127.0.0.1 for the package cache")
