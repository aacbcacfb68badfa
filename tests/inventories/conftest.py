"""An inventory whose state lies in a folder of the test's own."""

import dataclasses
from pathlib import Path

import pytest

from inventories.schema import REPOSITORY, Inventory, load_inventory


@pytest.fixture
def fleet(tmp_path: Path) -> Inventory:
    """The staging example as a sandbox would have it: secrets generated, state in a temporary folder."""
    staging = load_inventory(REPOSITORY / "inventories/staging.py")
    settings = staging.settings.model_copy(
        update={
            "environment": "sandbox",
            "secrets_source": "generated",
            "state_dir": tmp_path / "state",
            "corpus": True,
        }
    )
    return dataclasses.replace(staging, name="own", settings=settings)
