"""What this computer must offer before it can carry a fleet, and how we run commands on it."""

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from infra.sandbox.errors import SandboxError

# command -> Debian package that brings it
TOOLS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "apt-cacher-ng": "apt-cacher-ng",
    "systemd-socket-activate": "systemd",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "unshare": "util-linux",
}
ALSO_WORKS = (
    "Without it these still work: launchgate build, launchgate judge, and every command on your own servers."
)


def require() -> None:
    """Make sure that a fleet can be built here.

    Raises:
        SandboxError: naming everything that is missing and the command that brings it.
    """
    problems = []
    if platform.system() != "Linux" or not Path("/etc/debian_version").exists():
        problems.append("the sandbox needs Debian 12 or newer on Linux")
    if os.geteuid() != 0:
        problems.append("the sandbox needs root (it boots machines and makes a bridge): run it with sudo")
    missing = sorted({package for tool, package in TOOLS.items() if find_tool(tool) is None})
    if missing:
        problems.append(f"packages are missing: apt-get install --no-install-recommends {' '.join(missing)}")
    if "overlay" not in Path("/proc/filesystems").read_text() and _run_quiet(["modprobe", "overlay"]) != 0:
        problems.append("the kernel has no overlay file system")
    if problems:
        raise SandboxError("; ".join(problems) + f". {ALSO_WORKS}")


def find_tool(name: str) -> str | None:
    """Absolute path of a command, looked for in the system directories too (root's PATH may lack them)."""
    return shutil.which(
        name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
    )


def run(command: Sequence[str | Path], *, stdin: str | None = None, timeout: float = 60) -> str:
    """Run a command to its end and return its standard output.

    Raises:
        SandboxError: it failed or took longer than `timeout` seconds; the message holds its last lines.
    """
    words = [str(word) for word in command]
    words[0] = find_tool(words[0]) or words[0]
    try:
        done = subprocess.run(
            words, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise SandboxError(f"`{words[0]}` did not end within {timeout:.0f} s") from late
    if done.returncode != 0:
        told = " | ".join((done.stderr or done.stdout).strip().splitlines()[-4:])
        raise SandboxError(f"`{' '.join(words[:6])}` failed with {done.returncode}: {told}")
    return done.stdout


def _run_quiet(command: Sequence[str]) -> int:
    try:
        return subprocess.run(list(command), capture_output=True, check=False).returncode
    except FileNotFoundError:
        return 127
