"""Machines of a fleet whose state lies in a folder of the test's own, as the components see them."""

import dataclasses
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from infra.components.rendering import COMPONENTS
from infra.components.target import Target
from inventories.schema import REPOSITORY, DatabaseFlavour, Inventory, load_inventory


@pytest.fixture
def fleet(tmp_path: Path) -> Inventory:
    """The staging example as a sandbox would have it."""
    staging = load_inventory(REPOSITORY / "inventories/staging.py")
    settings = staging.settings.model_copy(
        update={"environment": "sandbox", "secrets_source": "generated", "state_dir": tmp_path / "state"}
    )
    return dataclasses.replace(staging, name="own", path=tmp_path / "own.py", settings=settings)


@pytest.fixture
def at(fleet: Inventory) -> Callable[..., Target]:
    """`at("db", 1)`: the second machine of the role; `flavour` says which database the fleet runs."""

    def find(role: str, number: int = 0, flavour: DatabaseFlavour = "mariadb") -> Target:
        settings = fleet.settings.model_copy(update={"database_flavour": flavour})
        return Target(dataclasses.replace(fleet, settings=settings), fleet.role(role)[number])

    return find


def load_program(component: str, name: str) -> ModuleType:
    """A program that a component installs, as a module."""
    path = COMPONENTS / component / "programs" / name
    spec = importlib.util.spec_from_file_location(path.stem.replace("-", "_"), path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
