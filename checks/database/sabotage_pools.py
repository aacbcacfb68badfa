"""Breaks of connection pools, on either side of the connection."""

from __future__ import annotations

from collections.abc import Iterator

from checks.breaks import sql
from checks.breaks.edge import rewritten
from checks.breaks.slot import overridden
from checks.gate import MachineUnderCheck, compliant_variant, sabotage
from checks.gate.fleet import Fleet
from checks.probes import mysql

SLOT_CONF = "/etc/nginx/search-api-slot.conf"


@sabotage("PRE-DB-5", on="app2", also_red=("PRE-ENV-2", "APP-DB-1"), reason="against")
def a_slot_may_open_more_than_the_server_allows(machine: MachineUnderCheck) -> Iterator[None]:
    """60 connections a worker, in one slot only."""
    with overridden(machine, pool_size="60"):
        yield


@sabotage("PRE-DB-5", on="db1", near_miss=True, also_red=("APP-DB-1.1", "PRE-DB-1"), reason="against 45")
def the_file_allows_enough_but_the_server_does_not(machine: MachineUnderCheck) -> Iterator[None]:
    """max_connections lowered at run time: the configuration file still says what was declared."""
    with sql.variable(machine, "max_connections", "45"):
        yield


@sabotage("APP-DB-1", on="app2", also_red=("PRE-ENV-2",), reason="size")
def a_slot_pools_a_single_connection(machine: MachineUnderCheck) -> Iterator[None]:
    """Every request of a worker waits for the same connection."""
    with overridden(machine, pool_size="1"):
        yield


@sabotage("APP-DB-1", on="db1", near_miss=True, may_also_red=("PERF-APP-1",), reason="wait_timeout|closes")
def the_pool_is_right_but_the_server_hangs_up_first(machine: MachineUnderCheck) -> Iterator[None]:
    """The server closes idle connections after ten minutes; the pool renews them after thirty."""
    with sql.variable(machine, "wait_timeout", "600"):
        yield


@sabotage("APP-DB-1.1", on="db1", also_red=("PRE-DB-1",), reason="max_connections")
def the_server_allows_less_than_declared(machine: MachineUnderCheck) -> Iterator[None]:
    """Enough for the pools of today, less than what was declared for the load."""
    with sql.variable(machine, "max_connections", "100"):
        yield


@sabotage("APP-DB-1.1", on="db1", near_miss=True, may_also_red=("PRE-DB-1",), reason="search_app@")
def the_server_has_room_but_the_account_is_held_low(
    machine: MachineUnderCheck, fleet: Fleet
) -> Iterator[None]:
    """MAX_USER_CONNECTIONS on one machine's account, above what is open now and below what its pools may ask."""
    address = fleet.named(fleet.names(("app",))[-1]).address
    with sql.changed(
        machine,
        f"ALTER USER 'search_app'@'{address}' WITH MAX_USER_CONNECTIONS 19",
        f"ALTER USER 'search_app'@'{address}' WITH MAX_USER_CONNECTIONS 0",
        shows="SELECT 1 FROM mysql.user WHERE user = 'search_app' AND max_user_connections = 19",
    ):
        yield


@compliant_variant("APP-DB-1.1", on="db1")
def accounts_are_limited_with_room_to_spare(machine: MachineUnderCheck, fleet: Fleet) -> Iterator[None]:
    """A limit above all that the machine's pools may ask."""
    address = fleet.named(fleet.names(("app",))[-1]).address
    with sql.changed(
        machine,
        f"ALTER USER 'search_app'@'{address}' WITH MAX_USER_CONNECTIONS 120",
        f"ALTER USER 'search_app'@'{address}' WITH MAX_USER_CONNECTIONS 0",
        shows="SELECT 1 FROM mysql.user WHERE user = 'search_app' AND max_user_connections = 120",
    ):
        yield


@sabotage("APP-DB-1.2", on="app2", also_red=("PRE-ENV-2",), reason="longest wait|read_timeout")
def a_statement_may_take_longer_than_the_proxy_waits(machine: MachineUnderCheck) -> Iterator[None]:
    """Five minutes for a statement: legal for the service, and nobody is left to read the answer."""
    with overridden(machine, read_timeout="300"):
        yield


@sabotage("APP-DB-1.2", on="app1", near_miss=True, may_also_red=("INF-LB-5",), reason="proxies wait longer")
def the_service_is_right_but_the_proxy_gives_up_first(machine: MachineUnderCheck) -> Iterator[None]:
    """The machine's own NGINX waits 10 s for a search that may take 15."""
    change = "sed -i 's/^proxy_read_timeout .*/proxy_read_timeout 10s;/' $f"
    with rewritten(machine, change, shows="proxy_read_timeout 10s;", path=SLOT_CONF):
        yield


@compliant_variant("APP-DB-1.2", on="app1")
def the_proxy_waits_longer_in_other_units(machine: MachineUnderCheck) -> Iterator[None]:
    """One minute, written as such."""
    change = "sed -i 's/^proxy_read_timeout .*/proxy_read_timeout 1m;/' $f"
    with rewritten(machine, change, shows="proxy_read_timeout 1m;", path=SLOT_CONF):
        yield


@sabotage(
    "PERF-APP-1", on="app2", near_miss=True, also_red=("PRE-ENV-2", "APP-DB-1"), reason="live from one burst"
)
def there_is_a_pool_but_every_request_connects_anew(machine: MachineUnderCheck) -> Iterator[None]:
    """Connections are renewed at the age of nothing: a pool in name only."""
    with overridden(machine, pool_recycle="0.01"):
        yield


@sabotage("PERF-APP-1", on="db1", also_red=("APP-DB-1",), reason="live from one burst")
def the_server_closes_connections_after_a_second(machine: MachineUnderCheck) -> Iterator[None]:
    """Every pause costs all connections; those that are open already are closed, so that new ones have the limit."""
    try:
        with sql.variable(machine, "wait_timeout", "1"):
            _close_all(machine)
            yield
    finally:
        _close_all(machine)


def _close_all(machine: MachineUnderCheck) -> None:
    rows = [row for row in sql.run(machine, "SHOW PROCESSLIST") if row[1] == "search_app"]
    # One that has gone by itself meanwhile is no fault: the client goes on.
    machine.run(f"{mysql.CLIENT} --force", sudo=True, stdin="".join(f"KILL {row[0]};\n" for row in rows))
