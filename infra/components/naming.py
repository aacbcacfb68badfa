"""Marks a function as a component: pyinfra prints its operations under the component's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, cast

from pyinfra.api.deploy import deploy

P = ParamSpec("P")


def component(name: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """pyinfra's own `deploy`, with the type that it really has."""
    return cast("Callable[[Callable[P, None]], Callable[P, None]]", deploy(name))
