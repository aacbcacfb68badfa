"""A bare fleet to a working service: `pyinfra INVENTORY infra/deploy.py`.

`--data release=VERSION` says which release, `--data dist=FOLDER` where built ones lie.
"""

from pyinfra import config

from infra.components.target import target
from infra.tiers import platform, release

config.SUDO = True

here = target()
platform(here)
release(here)
