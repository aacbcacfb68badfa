"""Back to an earlier release, by default the one in the other slot: `pyinfra INVENTORY infra/rollback.py`."""

from pyinfra import config

from infra.components.app.deploy import returned
from infra.components.host.preflight import preflight
from infra.components.target import target

config.SUDO = True

here = target()
preflight(here)
if here.has("app"):
    returned(here)
