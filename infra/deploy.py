"""A bare fleet to a working service: `pyinfra INVENTORY infra/deploy.py [--data release=VERSION] [--data dist=FOLDER]`."""

from pyinfra import config

from infra.components.target import target
from infra.tiers import platform, release

config.SUDO = True

here = target()
platform(here)
release(here)
