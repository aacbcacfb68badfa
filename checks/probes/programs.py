"""The programs in remote/ as text, to be sent to a machine over standard input."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def source(name: str) -> str:
    """The text of remote/`name`.py."""
    return resources.files("checks.probes.remote").joinpath(f"{name}.py").read_text()
