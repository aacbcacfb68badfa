"""Redis: TLS only, named users only, a bound on memory and a rule for what goes first."""

from __future__ import annotations

import hashlib

from infra.components.naming import component
from infra.components.rendering import render
from infra.components.target import Target
from infra.components.tls import deploy as tls
from infra.operations import files, units

CONFIG = "/etc/redis/redis.conf"
USERS = "/etc/redis/users.acl"
OPERATOR_PASSWORD = "/etc/redis/operator.password"  # noqa: S105 (a path)
OPERATOR_CLIENT = "/usr/local/sbin/redis-operator"


@component("Redis")
def redis(here: Target) -> None:
    """Configures and runs Redis."""
    files.present(name="Configure Redis", wanted=configuration(here))
    units.running(
        name="Run Redis",
        unit="redis-server.service",
        restart_on=[CONFIG, USERS, tls.CA, tls.CERTIFICATE, tls.key_of("redis")],
    )


def configuration(here: Target) -> list[files.Wanted]:
    """Redis' files, and a client by which root on this machine can look inside."""
    secrets = here.secrets
    config = render(
        "redis",
        "redis.conf.j2",
        address=here.machine.address,
        settings=here.settings,
        tls=tls,
        key=tls.key_of("redis"),
    )
    users = render(
        "redis",
        "users.acl.j2",
        app=hashlib.sha256(secrets["redis_password"].encode()).hexdigest(),
        operator=hashlib.sha256(secrets["redis_operator_password"].encode()).hexdigest(),
    )
    client = render(
        "redis", "redis-operator.j2", name=here.machine.name, password=OPERATOR_PASSWORD, ca=tls.CA
    )
    return [
        files.File(CONFIG, config, mode="640", owner="redis:redis"),
        files.File(USERS, users, mode="400", owner="redis:redis"),
        files.File(OPERATOR_PASSWORD, secrets["redis_operator_password"] + "\n", mode="400"),
        files.File(OPERATOR_CLIENT, client, mode="700"),
    ]
