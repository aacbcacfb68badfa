"""The toy fleet, fresh for each test."""

from collections.abc import Iterator

import pytest
from toy_fleet import Toy, scratch


@pytest.fixture
def toy() -> Iterator[Toy]:
    """Two app hosts and a keeper; nothing released yet."""
    with scratch() as place:
        yield Toy.made_in(place / "toy")
