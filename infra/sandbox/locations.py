"""Where the sandbox keeps what it makes: images, package cache and fleets."""

import os
import re
from pathlib import Path

from infra.sandbox.errors import SandboxError

FLEET_NAME = re.compile(r"[a-z][a-z0-9]{0,7}")


def home() -> Path:
    """Directory of everything the sandbox stores; `LAUNCHGATE_HOME` moves it."""
    return Path(os.environ.get("LAUNCHGATE_HOME", "/var/lib/launchgate"))


def fleet_name() -> str:
    """Name of the fleet that commands speak to: `LAUNCHGATE_FLEET`, else `demo`.

    Raises:
        SandboxError: the name would not fit into a link name or a path.
    """
    name = os.environ.get("LAUNCHGATE_FLEET", "demo")
    if not FLEET_NAME.fullmatch(name):
        raise SandboxError(
            f"LAUNCHGATE_FLEET={name!r}: a fleet's name is 1 to 8 lower-case letters and digits, "
            "beginning with a letter"
        )
    return name


def fleet_directory(name: str) -> Path:
    """Directory of one fleet's state."""
    return home() / "fleets" / name


def cache_directory() -> Path:
    """Directory of what is worth keeping between fleets: images, packages, wheels."""
    return home() / "cache"
