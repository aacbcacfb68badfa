"""Expands the database's schema for a release, from one app machine: `--data release=VERSION`."""

from pyinfra import config

from infra.components.app.deploy import installed, migrated, wanted_release
from infra.components.host.preflight import preflight
from infra.components.target import target

config.SUDO = True

here = target()
preflight(here)
if here.has("app"):
    name, artifact = wanted_release(here)
    installed(here, name, artifact)
    migrated(here, name)
