"""The tiers of a fleet in the order in which they are built; the entry points are made of these."""

from __future__ import annotations

from infra.components.app.deploy import (
    app,
    installed,
    migrated,
    started,
    switched,
    wanted_release,
)
from infra.components.customer.deploy import corpus
from infra.components.firewall.deploy import firewall
from infra.components.host.deploy import host_base
from infra.components.host.preflight import preflight
from infra.components.metrics.deploy import metrics
from infra.components.mysql.deploy import mysql
from infra.components.nginx.deploy import nginx
from infra.components.redis.deploy import redis
from infra.components.ssh.deploy import ssh
from infra.components.target import Target
from infra.components.tls.deploy import tls


def platform(here: Target) -> None:
    """All that a release stands on."""
    codename = preflight(here)
    host_base(here)
    ssh(here)
    firewall(here)
    tls(here)
    if here.has("db", "customer"):
        mysql(here)
    if here.has("cache"):
        redis(here)
    if here.has("app"):
        app(here)
    if here.has("lb", "app"):
        nginx(here, codename)
    metrics(here)
    if here.settings.corpus and here.has("customer"):
        corpus(here)


def release(here: Target) -> None:
    """The wanted release: migrated for, running in the inactive slot, then switched to."""
    if here.has("app"):
        name, artifact = wanted_release(here)
        installed(here, name, artifact)
        migrated(here, name)
        started(name)
        switched(name)
