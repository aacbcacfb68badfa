"""The machine that pyinfra is deploying to at this moment, as the inventory sees it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pyinfra.api.exceptions import PyinfraError
from pyinfra.context import host, inventory

from inventories.loading import current_inventory_path
from inventories.schema import DatabaseFlavour, Inventory, InventoryError, Machine, Settings, load_inventory
from inventories.secrets import read_secrets

# What `pyinfra --data` may say beside settings.
RUN_DATA = frozenset({"release", "dist"})
# pyinfra's own command-line options for connecting; they say nothing about what is deployed.
CONNECTION_DATA = frozenset({"ssh_password", "ssh_key_password"})


@dataclass(frozen=True)
class Target:
    """One machine within its inventory."""

    inventory: Inventory
    machine: Machine

    def has(self, *roles: str) -> bool:
        """Whether the machine bears any of the roles."""
        return any(role in self.machine.roles for role in roles)

    @property
    def settings(self) -> Settings:
        """The inventory's settings."""
        return self.inventory.settings

    @property
    def flavour(self) -> DatabaseFlavour:
        """Which database server this fleet runs."""
        return self.settings.database_flavour

    @property
    def secrets(self) -> Mapping[str, str]:
        """All secrets of the fleet. Raises PyinfraError naming every one that is missing."""
        return _secrets(self.inventory)


def target() -> Target:
    """The machine in pyinfra's context. Raises PyinfraError with one line when the inventory is wrong."""
    overrides = {
        key: value
        for key, value in inventory.override_data.items()
        if key not in RUN_DATA and key not in CONNECTION_DATA
    }
    try:
        fleet = _inventory(current_inventory_path(), json.dumps(overrides, sort_keys=True, default=str))
        return Target(fleet, fleet.machine(host.name))
    except InventoryError as error:
        raise PyinfraError(str(error)) from None


def run_data(key: str) -> Any:
    """What `--data key=value` said, or None."""
    return inventory.override_data.get(key)


@lru_cache(maxsize=4)
def _inventory(path: Path, overrides: str) -> Inventory:
    return load_inventory(path, json.loads(overrides))


_read: dict[Path, dict[str, str]] = {}


def _secrets(fleet: Inventory) -> dict[str, str]:
    if fleet.path not in _read:
        try:
            _read[fleet.path] = read_secrets(fleet)
        except InventoryError as error:
            raise PyinfraError(str(error)) from None
    return _read[fleet.path]
