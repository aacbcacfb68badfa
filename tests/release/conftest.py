"""The toy fleet, fresh for each test."""

from pathlib import Path

import pytest
from toy_fleet import Toy


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    """Two app hosts and a keeper; nothing released yet."""
    return Toy.made_in(tmp_path / "toy")
