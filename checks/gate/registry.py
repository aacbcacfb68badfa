"""Which checks exist, read from the source itself: a second opinion on what pytest collected.

Parsing instead of importing: a file that pytest ignored, or that no longer imports, still counts.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

CHECK_FILES = "check_*.py"
SABOTAGE_FILES = "sabotage_*.py"


@dataclass(frozen=True)
class RegisteredCheck:
    """A check function in the source: its file, its name, the ids it decides."""

    path: Path
    name: str
    ids: tuple[str, ...]


@dataclass
class Registry:
    """All declared checks below a directory, and what is wrong with their declarations."""

    checks: list[RegisteredCheck] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def ids(self) -> set[str]:
        """Every id that some check decides."""
        return {one for check in self.checks for one in check.ids}

    def ids_in(self, path: Path) -> set[str]:
        """The ids that the checks of one file decide."""
        return {one for check in self.checks if check.path == path for one in check.ids}


def read_registry(root: Path, known_ids: set[str]) -> Registry:
    """Read every check file below `root`. Faults never raise: they land in `problems`."""
    registry = Registry()
    for path in sorted(root.rglob(CHECK_FILES)):
        _read_file(path.resolve(), known_ids, registry)
    return registry


def _read_file(path: Path, known_ids: set[str], registry: Registry) -> None:
    try:
        tree = ast.parse(path.read_text(), filename=str(path))
    except (OSError, SyntaxError, UnicodeDecodeError, ValueError) as fault:
        registry.problems.append(f"{path}: cannot be read as a check file ({fault})")
        return
    seen: set[str] = set()
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("check_"):
            continue
        place = f"{path}:{node.lineno}"
        if node.name in seen:
            registry.problems.append(f"{place}: {node.name} is defined twice; the second hides the first")
        seen.add(node.name)
        ids = _declared_ids(node)
        if not ids:
            registry.problems.append(f'{place}: {node.name} declares no item; write @item("ID", on=...)')
            continue
        for unknown in sorted(set(ids) - known_ids):
            registry.problems.append(f"{place}: {node.name} declares {unknown}, which no catalogue holds")
        registry.checks.append(RegisteredCheck(path, node.name, ids))


def _declared_ids(node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[str, ...]:
    for decorator in node.decorator_list:
        if not isinstance(decorator, ast.Call):
            continue
        callee = decorator.func
        name = callee.id if isinstance(callee, ast.Name) else getattr(callee, "attr", "")
        if name == "item":
            literal = [one.value for one in decorator.args if isinstance(one, ast.Constant)]
            return tuple(one for one in literal if isinstance(one, str))
    return ()
