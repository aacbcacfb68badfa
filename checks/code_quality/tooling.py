"""Runs one tool over the source and tells what it said; a tool that does not run is told as such."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checks.gate import CouldNotLook

Figures = dict[str, Any]


@dataclass(frozen=True)
class Finding:
    """What was found about one item: PASS, FAIL or ERROR, why, and the figures it rests on."""

    outcome: str
    reason: str
    figures: Figures = field(default_factory=dict)


@dataclass(frozen=True)
class ToolRun:
    """A finished tool."""

    rc: int
    stdout: str
    stderr: str
    seconds: float

    def last_words(self) -> str:
        """The end of what it said, for an error message."""
        lines = (self.stdout + "\n" + self.stderr).strip().splitlines()
        return " / ".join(line.strip() for line in lines[-3:]) or "nothing"


def run_module(
    source: Path, module: str, *arguments: str, timeout_s: float, environment: dict[str, str] | None = None
) -> ToolRun:
    """Run `python -m module` in the source. Raises CouldNotLook when it cannot start or takes too long."""
    return run_tool(source, [sys.executable, "-m", module, *arguments], timeout_s, environment)


def run_tool(
    source: Path, argv: list[str], timeout_s: float, environment: dict[str, str] | None = None
) -> ToolRun:
    """Run a command in the source, whose own packages come first on the path."""
    started = time.monotonic()
    # The tools are installed beside an editable copy of the packages; what is judged is this source, not that one.
    path = os.pathsep.join([str(source), str(source / "service")])
    env = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})}
    try:
        done = subprocess.run(
            argv, cwd=source, env=env, capture_output=True, text=True, errors="replace", check=False,
            timeout=timeout_s, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        raise CouldNotLook(f"{' '.join(argv[1:4])}: no end within {timeout_s:g} s") from late
    except OSError as fault:
        raise CouldNotLook(f"{argv[0]}: {fault.strerror}") from fault
    if done.returncode == 1 and "No module named" in done.stderr and argv[1:2] == ["-m"]:
        missing = f"No module named {argv[2]}"
        if done.stderr.strip().endswith(missing) or f"{missing}." in done.stderr:
            raise CouldNotLook(f"{argv[2]} is not installed; run make setup")
    return ToolRun(done.returncode, done.stdout, done.stderr, time.monotonic() - started)


def tool_version(source: Path, module: str) -> str:
    """What `--version` of a tool says, or that it is missing."""
    try:
        said = run_module(source, module, "--version", timeout_s=30.0)
    except CouldNotLook as blind:
        return str(blind)
    return (said.stdout or said.stderr).strip().splitlines()[0] if said.rc == 0 else "missing"
