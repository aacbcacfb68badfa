"""Type check and lint of the source, and whether anything of it was quietly exempted from them."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from checks.code_quality.identity import tracked_files
from checks.code_quality.tooling import Figures, Finding, run_module
from checks.gate import CouldNotLook

TYPES_TIMEOUT_S = 400.0
LINT_TIMEOUT_S = 60.0
_CHECKED = re.compile(r"(?:Success: no issues found in|checked) (\d+) source files?")
_FOUND = re.compile(r"Found (\d+) errors?")
_TYPES_EXEMPTED = re.compile(r"^#\s*mypy:.*(ignore-errors|disable-error-code|allow-)", re.MULTILINE)
_LINT_EXEMPTED = re.compile(r"^#\s*(ruff|flake8):\s*noqa\s*$", re.MULTILINE | re.IGNORECASE)
# Mypy settings that, given to our own modules, take the strictness out of "strict".
_LOOSENING = (
    "ignore_errors",
    "disable_error_code",
    "follow_imports",
    "allow_untyped_defs",
    "disallow_untyped_defs",
)


def check_types(source: Path, scratch: Path) -> Finding:
    """mypy --strict over the packages that the source's own configuration names."""
    ran = run_module(
        source,
        "mypy",
        "--strict",
        "--cache-dir",
        str(scratch / "mypy"),
        "--no-color-output",
        timeout_s=TYPES_TIMEOUT_S,
    )
    checked, found = _CHECKED.search(ran.stdout), _FOUND.search(ran.stdout)
    figures: Figures = {
        "files": int(checked[1]) if checked else 0,
        "errors": int(found[1]) if found else 0,
        "exempted": _exempted_from_types(source),
        "exit_code": ran.rc,
    }
    if ran.rc == 1 and found:
        return Finding("FAIL", f"{found[1]} type errors; first: {ran.stdout.splitlines()[0]}", figures)
    if ran.rc != 0 or not checked:
        raise CouldNotLook(f"mypy did not check (exit {ran.rc}): {ran.last_words()}")
    if figures["exempted"]:
        return Finding("FAIL", f"exempted from strictness: {', '.join(figures['exempted'][:5])}", figures)
    return Finding("PASS", f"{checked[1]} files, no type error", figures)


def check_lint(source: Path) -> Finding:
    """ruff check over every Python file of the source."""
    ran = run_module(
        source, "ruff", "check", ".", "--output-format", "json", "--no-cache", timeout_s=LINT_TIMEOUT_S
    )
    if ran.rc not in (0, 1):
        raise CouldNotLook(f"ruff did not check (exit {ran.rc}): {ran.last_words()}")
    found = json.loads(ran.stdout or "[]")
    listed = run_module(source, "ruff", "check", ".", "--show-files", "--no-cache", timeout_s=LINT_TIMEOUT_S)
    linted = {str(Path(line).resolve()) for line in listed.stdout.splitlines() if line.endswith(".py")}
    wanted = tracked_files(source, "*.py")
    left_out = [name for name in wanted if str((source / name).resolve()) not in linted]
    blanket = [name for name in wanted if _LINT_EXEMPTED.search((source / name).read_text(errors="replace"))]
    figures = {"files": len(wanted), "findings": len(found), "left_out": left_out, "exempted": blanket}
    if found:
        first = found[0]
        place = f"{Path(first['filename']).name}:{first['location']['row']}"
        return Finding(
            "FAIL", f"{len(found)} findings; first: {place} {first['code']} {first['message']}", figures
        )
    if left_out or blanket:
        return Finding("FAIL", f"exempted from lint: {', '.join((left_out + blanket)[:5])}", figures)
    if not wanted:
        raise CouldNotLook("the source holds no Python file")
    return Finding("PASS", f"{len(wanted)} files, no finding", figures)


def _exempted_from_types(source: Path) -> list[str]:
    """Our own modules that a comment or an override lets off."""
    exempted = [
        name
        for name in tracked_files(source, "*.py")
        if _TYPES_EXEMPTED.search((source / name).read_text(errors="replace"))
    ]
    configuration = tomllib.loads((source / "pyproject.toml").read_text()).get("tool", {}).get("mypy", {})
    own = tuple(configuration.get("packages", ()))
    for override in configuration.get("overrides", ()):
        modules = override.get("module", [])
        modules = [modules] if isinstance(modules, str) else modules
        mine = [one for one in modules if one.split(".")[0] in own or one.startswith("*")]
        if mine and any(key in override for key in _LOOSENING):
            exempted += [f"override for {one}" for one in mine]
    return exempted
