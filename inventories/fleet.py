"""Reads what the sandbox wrote about a running fleet (fleet.json), for the sandbox's inventory."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inventories.loading import under_pyinfra
from inventories.schema import InventoryError

DEFAULT_HOME = Path("/var/lib/launchgate")


@dataclass(frozen=True)
class Fleet:
    """A fleet: its directory on this computer and what fleet.json says; ``ai`` is its stand-in for OpenAI."""

    directory: Path
    database: str
    gateway: str
    addresses: dict[str, str]
    ai: dict[str, Any]


def read_fleet() -> Fleet:
    """The fleet that LAUNCHGATE_HOME and LAUNCHGATE_FLEET name.

    Raises InventoryError (under pyinfra: PyinfraError) when it is not there or cannot be read.
    """
    name = os.environ.get("LAUNCHGATE_FLEET", "demo")
    directory = Path(os.environ.get("LAUNCHGATE_HOME", str(DEFAULT_HOME))) / "fleets" / name
    place = directory / "fleet.json"
    try:
        described = json.loads(place.read_text())
        return Fleet(
            directory=directory,
            database=described["database"],
            gateway=described["gateway"],
            addresses={machine["name"]: machine["address"] for machine in described["machines"]},
            ai=described.get("ai", {}),
        )
    except FileNotFoundError:
        error = InventoryError(
            str(place), f"there is no sandbox fleet {name!r}", "run `launchgate sandbox up` first"
        )
    except PermissionError:
        error = InventoryError(str(place), "it may not be read", "run as the user who brought the sandbox up")
    except (ValueError, KeyError, TypeError) as fault:
        error = InventoryError(str(place), f"it is damaged ({fault!r})", "run `launchgate sandbox up` again")
    raise under_pyinfra(error)


def fleet_group(fleet: Fleet, role: str) -> list[tuple[str, dict[str, Any]]]:
    """The machines whose name is the role and a number: app1, app2 are `app`."""
    return [
        (name, {"ssh_hostname": address})
        for name, address in sorted(fleet.addresses.items())
        if re.fullmatch(rf"{role}\d+", name)
    ]


def fleet_data(fleet: Fleet) -> dict[str, Any]:
    """The settings that follow from where and how the fleet was made."""
    ssh = fleet.directory / "ssh"
    return {
        **_ai_data(fleet),
        "state_dir": str(fleet.directory),
        "database_flavour": fleet.database,
        "control_addresses": [f"{fleet.gateway}/32"],
        "customer_allowed_networks": [
            f"{data['ssh_hostname']}/32" for _, data in fleet_group(fleet, "customer")
        ],
        "ssh_key": str(ssh / "id_ed25519"),
        "ssh_known_hosts_file": str(ssh / "known_hosts"),
        "ssh_config_file": str(ssh / "config"),
    }


def _ai_data(fleet: Fleet) -> dict[str, Any]:
    """A fleet that came up before there was a stand-in has none until its next `up`."""
    if not fleet.ai:
        return {}
    return {
        "ai_base_url": fleet.ai["url"],
        "ai_ca_file": fleet.ai["ca_file"],
        "ai_model": fleet.ai["model"],
        "ai_embedding_model": fleet.ai["embedding_model"],
        "ai_embedding_dimensions": fleet.ai["dimensions"],
    }
