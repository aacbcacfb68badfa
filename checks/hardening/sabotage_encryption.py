"""Hops that are encrypted most of the way."""

from __future__ import annotations

from collections.abc import Iterator

from checks.breaks import edge as broken_edge
from checks.breaks import sql
from checks.gate import DidNotApply, MachineUnderCheck, compliant_variant, sabotage
from inventories.schema import Inventory


@sabotage("HARD-NET-4", on="lb", near_miss=True, reason="proxy_ssl_verify in")
def the_balancer_trusts_anyone(machine: MachineUnderCheck) -> Iterator[None]:
    """Encrypted to whoever answers: the certificate is not looked at."""
    script = "sed -i 's/proxy_ssl_verify on;/proxy_ssl_verify off;/' $f"
    with broken_edge.rewritten(machine, script, shows="proxy_ssl_verify off;"):
        yield


@sabotage("HARD-NET-4", on="cache", also_red=("HARD-SRV-1",), reason="port without TLS")
def redis_has_a_second_port_in_clear(machine: MachineUnderCheck) -> Iterator[None]:
    """TLS on 6379 as before, and 6380 for a tool that could not do TLS."""
    try:
        machine.must("redis-operator CONFIG SET port 6380", sudo=True)
        if ":6380 " not in machine.must("ss -Hltn").stdout:
            raise DidNotApply("Redis does not listen on 6380")
        yield
    finally:
        machine.must("redis-operator CONFIG SET port 0", sudo=True)


@sabotage("HARD-NET-4", on="db1", near_miss=True, reason="without TLS")
def one_account_may_log_in_without_tls(machine: MachineUnderCheck, inventory: Inventory) -> Iterator[None]:
    """The server insists on TLS today; the account no longer does, whatever the server is set to tomorrow."""
    account = f"'search_migrate'@'{inventory.role('app')[0].address}'"
    with sql.changed(
        machine,
        f"ALTER USER {account} REQUIRE NONE",
        f"ALTER USER {account} REQUIRE SSL",
        shows="SELECT 1 FROM mysql.user WHERE User = 'search_migrate' AND ssl_type = ''",
        database="mysql",
    ):
        yield


@sabotage("HARD-NET-4", on="customer", near_miss=True, reason="require_secure_transport")
def a_database_no_longer_insists_on_tls(machine: MachineUnderCheck) -> Iterator[None]:
    """TLS works and its file demands it; a run-time change lets whoever wants go without."""
    with sql.changed(
        machine,
        "SET GLOBAL require_secure_transport = OFF",
        "SET GLOBAL require_secure_transport = ON",
        shows="SELECT 1 WHERE @@GLOBAL.require_secure_transport = 0",
        database="mysql",
    ):
        yield


@compliant_variant("HARD-NET-4", on="lb")
def the_balancer_speaks_the_newest_protocol_only(machine: MachineUnderCheck) -> Iterator[None]:
    """TLS 1.3 alone towards the app machines is stricter than asked."""
    script = "sed -i 's/proxy_ssl_protocols [^;]*;/proxy_ssl_protocols TLSv1.3;/' $f"
    with broken_edge.rewritten(machine, script, shows="proxy_ssl_protocols TLSv1.3;"):
        yield
