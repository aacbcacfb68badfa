"""A release into the inactive slot, running and ready, not yet served: `--data release=VERSION`."""

from pyinfra import config

from infra.components.app.deploy import installed, started, wanted_release
from infra.components.host.preflight import preflight
from infra.components.target import target

config.SUDO = True

here = target()
preflight(here)
if here.has("app"):
    name, artifact = wanted_release(here)
    installed(here, name, artifact)
    started(name)
