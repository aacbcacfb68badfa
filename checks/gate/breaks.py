"""Finds every sabotage and compliant variant below a directory."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from checks.gate.declare import BreakDeclaration, break_declaration
from checks.gate.errors import GateUsageError
from checks.gate.options import CHECKS_ROOT
from checks.gate.registry import SABOTAGE_FILES


def read_breaks(root: Path, known_ids: set[str]) -> list[BreakDeclaration]:
    """Every declared break, file by file, in the order written. Raises GateUsageError with file and cure."""
    found: list[BreakDeclaration] = []
    for path in sorted(root.rglob(SABOTAGE_FILES)):
        module = _imported(path)
        declared = [break_declaration(value) for value in vars(module).values()]
        mine = [one for one in declared if one is not None and one.apply.__module__ == module.__name__]
        for one in mine:
            _refuse_unknown(path, one, known_ids)
        found.extend(mine)
    return found


def _refuse_unknown(path: Path, one: BreakDeclaration, known_ids: set[str]) -> None:
    for item in (one.item, *one.also_red, *one.may_also_red):
        if item not in known_ids:
            raise GateUsageError(f"{path}: {one.name} names {item}, which no catalogue holds; correct the id")


def _imported(path: Path) -> ModuleType:
    try:
        if path.resolve().is_relative_to(CHECKS_ROOT):
            relative = path.resolve().relative_to(CHECKS_ROOT.parent).with_suffix("")
            return importlib.import_module(".".join(relative.parts))
        name = f"launchgate_{abs(hash(path.resolve()))}_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is no Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    except Exception as fault:
        # The file is somebody's code: whatever it raises is a fault of that file.
        raise GateUsageError(
            f"{path}: does not import ({type(fault).__name__}: {fault}); correct the file"
        ) from fault
    return module
