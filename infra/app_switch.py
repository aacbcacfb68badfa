"""New connections to the slot that runs a release: `--data release=VERSION`."""

from pyinfra import config

from infra.components.app.deploy import switched, wanted_release
from infra.components.host.preflight import preflight
from infra.components.target import target

config.SUDO = True

here = target()
preflight(here)
if here.has("app"):
    name, _artifact = wanted_release(here)
    switched(name)
