"""Reads a pyinfra inventory file and its group_data as pyinfra does; refuses what the schema does not know.

Every inventory file ends with `validate(__file__, globals())`, so that a stock pyinfra run refuses it too,
before a host is touched.
"""

from __future__ import annotations

import difflib
import re
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ValidationError

from inventories.schema import (
    REQUIRED_ROLES,
    ROLES,
    HostData,
    Inventory,
    InventoryError,
    Machine,
    Settings,
)

MACHINE_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_validated: dict[str, Path] = {}


def read_inventory(path: Path, overrides: Mapping[str, Any]) -> Inventory:
    """The inventory in `path`. Raises InventoryError."""
    path = Path(path)
    if not path.is_file():
        raise InventoryError(
            str(path), "no such inventory file", "give the path of a file such as inventories/sandbox.py"
        )
    names = _execute(path)
    return build(path, names, overrides)


def validate(file: str, names: Mapping[str, Any]) -> None:
    """The last line of an inventory file. Raises InventoryError, in pyinfra's own clothes under pyinfra."""
    path = Path(file)
    try:
        build(path, names, {})
    except InventoryError as error:
        raise under_pyinfra(error) from None
    _validated["current"] = path


def under_pyinfra(error: InventoryError) -> Exception:
    """Inside the pyinfra command: the same error as one that pyinfra prints in one line. Else `error`."""
    if "pyinfra_cli" not in sys.modules:
        return error
    from pyinfra.api.exceptions import PyinfraError

    return PyinfraError(str(error))


def current_inventory_path() -> Path:
    """The inventory file that this pyinfra run has validated. Raises InventoryError when there is none."""
    if "current" not in _validated:
        raise InventoryError(
            "inventory", "it was not validated", "end the inventory file with validate(__file__, globals())"
        )
    return _validated["current"]


def build(path: Path, names: Mapping[str, Any], overrides: Mapping[str, Any]) -> Inventory:
    """An Inventory from the module-level names of an inventory file. Raises InventoryError."""
    name = path.stem
    groups = _groups(path, name, names)
    settings = _settings(path, name, groups.pop(name, ([], {}))[1], overrides)
    machines = _machines(path, groups, settings)
    return Inventory(name=name, path=path.resolve(), machines=machines, settings=settings)


def _execute(path: Path) -> dict[str, Any]:
    try:
        return runpy.run_path(str(path))
    except InventoryError:
        raise
    except Exception as error:
        # The file is the user's code: whatever it raises is a fault of the inventory.
        raise InventoryError(
            str(path), f"it does not load ({type(error).__name__}: {error})", "correct the file"
        ) from error


Group = tuple[list[Any], dict[str, Any]]


def _groups(path: Path, name: str, names: Mapping[str, Any]) -> dict[str, Group]:
    """As pyinfra reads it: lists are groups, (list, data) are groups with data; all else is a mistake."""
    groups: dict[str, Group] = {}
    for key, value in names.items():
        if key.startswith("_") or isinstance(value, (ModuleType, type)) or callable(value):
            continue
        if key not in (*ROLES, name):
            cure = (
                _nearest(key, (*ROLES, name))
                or f"groups are {', '.join(ROLES)}; settings belong in group_data"
            )
            raise InventoryError(str(path), f"unknown name {key!r}", cure)
        members, data = value if isinstance(value, tuple) else (value, {})
        if not isinstance(members, list) or not isinstance(data, dict):
            raise InventoryError(
                str(path), f"group {key!r} is not a list of machines", "write it as [('name', {...})]"
            )
        if data and key != name:
            raise InventoryError(
                str(path),
                f"group {key!r} carries data",
                "settings hold for the whole inventory: put them in group_data",
            )
        groups[key] = (members, data)
    for role in REQUIRED_ROLES:
        if not groups.get(role, ([], {}))[0]:
            raise InventoryError(
                str(path), f"no machine in group {role!r}", f"name at least one: {role} = [('name', {{...}})]"
            )
    return groups


def _settings(path: Path, name: str, own: Mapping[str, Any], overrides: Mapping[str, Any]) -> Settings:
    """all.py, the file's own data, <inventory>.py, overrides: later ones win, as they do in pyinfra."""
    folder = path.parent / "group_data"
    siblings = {other.stem for other in path.parent.glob("*.py")}
    for file in sorted(folder.glob("*.py")):
        if file.stem not in siblings | {"all"}:
            raise InventoryError(
                str(file), "belongs to no inventory", "settings go in all.py or <inventory>.py"
            )
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    layers: list[tuple[str, Mapping[str, Any]]] = [
        (str(folder / "all.py"), _group_data(folder / "all.py")),
        (str(path), own),
        (str(folder / f"{name}.py"), _group_data(folder / f"{name}.py")),
        ("--data", overrides),
    ]
    for place, layer in layers:
        for key, value in layer.items():
            both = isinstance(value, dict) and isinstance(merged.get(key), dict)
            merged[key] = {**merged[key], **value} if both else value
            origin[key] = place
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise _explained(error, Settings, str(folder / f"{name}.py"), origin) from None


def _group_data(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    return {
        key: value
        for key, value in _execute(file).items()
        if not key.startswith("_") and not isinstance(value, (ModuleType, type)) and not callable(value)
    }


def _machines(path: Path, groups: Mapping[str, Group], settings: Settings) -> tuple[Machine, ...]:
    data: dict[str, dict[str, Any]] = {}
    roles: dict[str, list[str]] = {}
    for role in ROLES:
        for member in groups.get(role, ([], {}))[0]:
            name, own = member if isinstance(member, tuple) else (member, {})
            if not isinstance(name, str) or not MACHINE_NAME.fullmatch(name):
                raise InventoryError(
                    str(path), f"bad machine name {name!r} in {role!r}", "use letters, digits and dashes"
                )
            data.setdefault(name, {}).update(own)
            roles.setdefault(name, []).append(role)
    machines = tuple(_machine(path, name, data[name], tuple(roles[name]), settings) for name in data)
    seen: dict[str, str] = {}
    for machine in machines:
        if machine.address in seen:
            problem = f"{machine.name} and {seen[machine.address]} have the same address {machine.address}"
            raise InventoryError(str(path), problem, "give each machine its own")
        seen[machine.address] = machine.name
    return machines


def _machine(
    path: Path, name: str, data: dict[str, Any], roles: tuple[str, ...], settings: Settings
) -> Machine:
    try:
        host = HostData.model_validate(data)
    except ValidationError as error:
        raise _explained(error, HostData, f"{path} ({name})", {}) from None
    return Machine(
        name=name,
        address=host.ssh_hostname,
        ssh_port=host.ssh_port or settings.ssh_port,
        ssh_user=host.ssh_user or settings.ssh_user,
        ssh_key=host.ssh_key or settings.ssh_key,
        known_hosts=host.ssh_known_hosts_file or settings.ssh_known_hosts_file,
        ssh_config=settings.ssh_config_file,
        roles=roles,
    )


def _explained(
    error: ValidationError, model: type[BaseModel], place: str, origin: Mapping[str, str]
) -> InventoryError:
    """All that is wrong, in one error; the place is where the first wrong key was written."""
    problems, cures, places = [], [], []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"])
        places.append(origin.get(str(fault["loc"][0]), place) if fault["loc"] else place)
        if fault["type"] == "extra_forbidden":
            problems.append(f"unknown key {key!r}")
            cures.append(_nearest(key, tuple(model.model_fields)) or f"remove {key!r}")
        elif fault["type"] == "missing":
            problems.append(f"{key!r} is missing")
            cures.append(f"set {key!r}")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            problems.append(f"{key!r}: {message}" if key else message)
            cures.append(f"correct {key!r}" if key else "correct them together")
    return InventoryError(places[0], ", ".join(problems), ", ".join(dict.fromkeys(cures)))


def _nearest(key: str, known: tuple[str, ...]) -> str | None:
    near = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {near[0]!r}?" if near else None
