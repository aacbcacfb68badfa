"""What all tests share."""

from pathlib import Path

import pytest

# Tests of machines take turns on one fleet, and compare the computer before and after: one process runs them all,
# while others run the rest beside it.
MACHINES = ("fleet", "sandbox")
HERE = Path(__file__).parent


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.path.relative_to(HERE).parts[0] in MACHINES:
        item.add_marker(pytest.mark.xdist_group("machines"))
