"""Fills the templates that lie beside each component; a value that is missing is an error, never an empty string."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

COMPONENTS = Path(__file__).parent


def render(component: str, template: str, **values: object) -> str:
    """The text of `component/templates/template` with the values filled in."""
    return _environment(component).get_template(template).render(**values)


def program(component: str, name: str) -> str:
    """The text of a program that a component installs as it is."""
    return (COMPONENTS / component / "programs" / name).read_text()


@lru_cache
def _environment(component: str) -> Environment:
    # These are configuration files, not HTML: nothing to escape.
    return Environment(  # noqa: S701
        loader=FileSystemLoader(COMPONENTS / component / "templates"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
