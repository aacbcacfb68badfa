"""Connections to the service's own database: bounded, checked before use, kept, and few enough for the server."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from checks.database.check_schema import app_machines, primary_of
from checks.gate import CouldNotLook, Evidence, MachineUnderCheck, item
from checks.gate.fleet import Fleet
from checks.probes import mysql, nginx, slots
from checks.probes.programs import source
from inventories.schema import Inventory

SLOTS_OF_A_MACHINE = 2  # both may run at once: the old one stays warm
# Connections that are not the service's: one migration a machine, replicas, exporters, an operator in need.
RESERVE = 15
LONGEST_POOL_WAIT_S = 10.0  # people have left by then
SHORTEST_RECYCLE_S = 60.0  # below it, connecting costs more than keeping
MOST_USED = 0.85  # of max_connections at the busiest moment since the server started
LONGEST_READ_S = 30.0  # of the service's own database: its statements take milliseconds
BURST, AT_ONCE = 20, 20
PAUSE_S = 1.1
KEPT_AT_LEAST = 0.8  # of the connections, from one burst to the next


@item("PRE-DB-5", on=None)
def check_all_pools_together_fit_the_server(evidence: Evidence, fleet: Fleet) -> None:
    """Workers that really run, times pool, times slots, times machines, plus a reserve, is below max_connections."""
    slots.look_ahead(fleet)
    most = 0
    for machine in app_machines(fleet):
        for_this = [_budget(evidence, machine, one) for one in slots.serving(machine)]
        # A slot that is empty now will hold a release as large as the largest.
        most += sum(for_this) + max(for_this) * (SLOTS_OF_A_MACHINE - len(for_this))
    limit = mysql.number(mysql.variables(primary_of(fleet)), "max_connections")
    evidence.that(
        most + RESERVE <= limit,
        looked_at="workers x pool x slots x machines + reserve against max_connections in force",
        observed=f"{most} + {RESERVE} against {limit:g}",
        expected="no more than the server allows",
    )


@item("APP-DB-1", on="app")
def check_the_pool_is_as_declared(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory, fleet: Fleet
) -> None:
    """Each running slot pools: as large as declared, bounded, checked before use, renewed in time."""
    slots.look_ahead(fleet)
    for one in slots.serving(machine):
        met, where = one.part("database"), f"slot {one.slot}"
        pool, declared = met["pool"], inventory.settings.database_pool_size
        evidence.expect(
            looked_at=f"{where}: its engine's pool",
            observed={name: pool[name] for name in ("class", "size", "overflow", "pre_ping")},
            expected={
                "class": "QueuePool",
                "size": pool["size"] if one.left_behind else declared,
                "overflow": 0,
                "pre_ping": True,
            },
        )
        closes = float(met["limits"]["wait_timeout"])
        evidence.that(
            SHORTEST_RECYCLE_S <= pool["recycle"] < closes,
            looked_at=f"{where}: age at which a connection is renewed, against the server's wait_timeout",
            observed=f"{pool['recycle']} s, {closes:g} s",
            expected=f"at least {SHORTEST_RECYCLE_S:g} s, and before the server closes it",
        )
    held = _connections(primary_of(fleet), machine)
    evidence.that(
        bool(held),
        looked_at=f"connections of search_app from {machine.name}",
        observed=len(held),
        expected="at least one, kept open",
    )


@item("APP-DB-1.1", on=None)
def check_the_server_grants_what_the_pools_may_ask(
    evidence: Evidence, fleet: Fleet, inventory: Inventory
) -> None:
    """Declared limits are in force, no account is held below its pools, and the busiest moment left room."""
    primary = primary_of(fleet)
    settings = mysql.variables(primary)
    limit = mysql.number(settings, "max_connections")
    evidence.that(
        limit >= inventory.settings.database_max_connections,
        looked_at=f"{primary.name}: max_connections in force",
        observed=f"{limit:g}",
        expected=f"{inventory.settings.database_max_connections} as declared, or more",
    )
    status = mysql.pairs(mysql.query(primary, "SHOW GLOBAL STATUS LIKE 'Max_used_connections'"))
    used = mysql.number(status, "max_used_connections")
    evidence.that(
        used <= MOST_USED * limit,
        looked_at="Max_used_connections since the server's start, load included",
        observed=f"{used:g} of {limit:g}",
        expected=f"at most {MOST_USED:.0%}",
    )
    asked = inventory.settings.workers * inventory.settings.database_pool_size * SLOTS_OF_A_MACHINE
    rows = mysql.query(
        primary, "SELECT user, host, max_user_connections FROM mysql.user WHERE user = 'search_app'"
    )
    evidence.that(
        bool(rows), looked_at="accounts search_app", observed=len(rows), expected="one an app machine"
    )
    allowed = {
        f"{user}@{host}": int(most) or int(mysql.number(settings, "max_user_connections"))
        for user, host, most in rows
    }
    evidence.expect(
        looked_at="accounts that may not open what one machine's pools may ask",
        observed={name: most for name, most in allowed.items() if 0 < most < asked},
        expected={},
    )


@item("APP-DB-1.2", on="app")
def check_time_outs_are_in_order(machine: MachineUnderCheck, evidence: Evidence, fleet: Fleet) -> None:
    """Who waits for somebody waits longer than that one may take; the proxies in front wait longest."""
    slots.look_ahead(fleet)
    waits = _proxy_waits(machine) + [
        wait for name in fleet.names(("lb",)) for wait in _proxy_waits(fleet.named(name))
    ]
    evidence.that(
        bool(waits), looked_at="proxy_pass in nginx -T", observed=len(waits), expected="at least one"
    )
    patience = min(seconds for _, seconds in waits)
    for one in slots.serving(machine):
        has, where = one.values, f"slot {one.slot}"
        order = [
            ("connect_timeout", "pool_timeout"),
            ("customer_connect_timeout", "customer_pool_timeout"),
            ("customer_statement_timeout", "customer_read_timeout"),
            ("customer_read_timeout", "customer_deadline"),
        ]
        wrong = {
            f"{shorter} < {longer}": (has[shorter], has[longer])
            for shorter, longer in order
            if has[shorter] >= has[longer]
        }
        evidence.expect(looked_at=f"{where}: time-outs that are not in order", observed=wrong, expected={})
        longest = max(has[name] for name in ("customer_deadline", "read_timeout", "pool_timeout"))
        evidence.that(
            longest < patience,
            looked_at=f"{where}: longest wait in the service against the shortest of the proxies ({waits})",
            observed=f"{longest:g} s against {patience:g} s",
            expected="the proxies wait longer",
        )
        evidence.that(
            has["read_timeout"] <= LONGEST_READ_S and has["pool_timeout"] <= LONGEST_POOL_WAIT_S,
            looked_at=f"{where}: read_timeout, pool_timeout",
            observed=f"{has['read_timeout']:g} s, {has['pool_timeout']:g} s",
            expected=f"at most {LONGEST_READ_S:g} s, {LONGEST_POOL_WAIT_S:g} s",
        )


@item("PERF-APP-1", on=None, timeout_s=60)
def check_connections_are_kept_under_a_burst(evidence: Evidence, fleet: Fleet) -> None:
    """Many requests at once are all served from the pool, and the next burst meets the same connections."""
    primary, machines = primary_of(fleet).unremembering(), app_machines(fleet)
    with ThreadPoolExecutor(len(machines)) as pool:
        first = list(pool.map(_burst, machines))
        before = {one.name: _connections(primary, one) for one in machines}
        time.sleep(PAUSE_S)
        second = list(pool.map(_burst, machines))
        after = {one.name: _connections(primary, one) for one in machines}
    for machine, statuses in zip(machines * 2, first + second, strict=True):
        evidence.expect(
            looked_at=f"{machine.name}: answers to {BURST} requests of the slot that serves, {AT_ONCE} at once",
            observed=sorted(statuses),
            expected=["200"],
        )
    for name, held in before.items():
        kept = len(held & after[name])
        evidence.that(
            bool(held) and kept >= KEPT_AT_LEAST * len(held),
            looked_at=f"{name}: connections that live from one burst to the next",
            observed=f"{kept} of {len(held)}",
            expected=f"at least {KEPT_AT_LEAST:.0%}",
        )


def seconds(text: str) -> float:
    """NGINX's way of writing a time: "30s", "1m", "500ms", "30". Raises CouldNotLook for anything else."""
    for unit, factor in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)):
        number = text.removesuffix(unit)
        if text.endswith(unit) and number.isdigit():
            return int(number) * factor
    if text.isdigit():
        return float(text)
    raise CouldNotLook(f"nginx -T: {text!r} is not a time")


def _budget(evidence: Evidence, machine: MachineUnderCheck, one: slots.InForce) -> int:
    """Connections that one slot may open."""
    pool, where = one.part("database")["pool"], f"{machine.name}, slot {one.slot}"
    workers = int(one.seen["workers"])
    evidence.expect(looked_at=f"{where}: workers that run", observed=workers, expected=one.values["workers"])
    evidence.that(
        pool["overflow"] >= 0 and 0 < pool["wait"] <= LONGEST_POOL_WAIT_S,
        looked_at=f"{where}: overflow and wait of the pool",
        observed=f"{pool['overflow']}, {pool['wait']:g} s",
        expected=f"bounded, at most {LONGEST_POOL_WAIT_S:g} s",
    )
    return workers * int(pool["size"] + pool["overflow"])


def _connections(primary: MachineUnderCheck, machine: MachineUnderCheck) -> set[str]:
    """Ids of the connections that the service holds from this machine."""
    return connections_of(mysql.query(primary, "SHOW PROCESSLIST"), machine.address)


def connections_of(rows: list[list[str]], address: str) -> set[str]:
    """From rows of id, user, host and more: ids of the service's own from an address, with or without a port."""
    return {row[0] for row in rows if row[1] == "search_app" and row[2].partition(":")[0] == address}


def _burst(machine: MachineUnderCheck) -> dict[str, Any]:
    # The other slot may hold, warm, the very release that was refused for this.
    words = f"{BURST} {AT_ONCE} {slots.active_slot(machine).name}"
    answer = machine.unremembering().must(
        f"python3 -I - {words}", sudo=True, stdin=source("bursts"), timeout_s=40
    )
    return dict(json.loads(answer.stdout))


def _proxy_waits(machine: MachineUnderCheck) -> list[tuple[str, float]]:
    """Where a proxy waits for an answer, and how long."""
    return [
        (f"{machine.name} {place}", seconds(place.value("proxy_read_timeout", "60s")))
        for server in nginx.configuration(machine).servers()
        for place in nginx.configuration(machine).locations(server)
        if place.innermost.first("proxy_pass")
    ]
