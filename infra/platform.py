"""Everything but the release: `pyinfra INVENTORY infra/platform.py`."""

from pyinfra import config

from infra.components.target import target
from infra.tiers import platform

config.SUDO = True

platform(target())
