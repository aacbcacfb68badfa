"""Slow statements are logged: switched on, at the declared limit, and one is found in the log."""

from __future__ import annotations

import uuid

from checks.gate import Evidence, MachineUnderCheck, item
from checks.probes import mysql
from inventories.schema import Inventory


@item("PERF-DB-3", on="db")
def check_the_slow_log_is_on_at_the_declared_limit(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    settings = mysql.variables(machine)
    evidence.expect(looked_at="slow_query_log", observed=settings.get("slow_query_log"), expected="ON")
    limit = mysql.number(settings, "long_query_time")
    most = inventory.settings.thresholds.slow_query_seconds
    evidence.that(
        0 < limit <= most, looked_at="long_query_time", observed=f"{limit:g} s", expected=f"at most {most} s"
    )
    evidence.that(
        "FILE" in settings.get("log_output", "").split(","),
        looked_at="log_output",
        observed=settings.get("log_output"),
        expected="FILE among them",
    )
    rows = settings.get("min_examined_row_limit", "0")
    evidence.expect(looked_at="min_examined_row_limit", observed=rows, expected="0")
    share = settings.get("log_slow_rate_limit", "1")
    evidence.expect(looked_at="log_slow_rate_limit (every n-th slow statement)", observed=share, expected="1")


@item("PERF-DB-3", on="db")
def check_a_slow_statement_is_found_in_the_log(machine: MachineUnderCheck, evidence: Evidence) -> None:
    file = mysql.variables(machine).get("slow_query_log_file", "")
    mark = f"launchgate-{uuid.uuid4().hex}"
    # One that takes no time but counts as slow in its own session: whatever else may hold it back is global.
    mysql.run(machine, f"SET SESSION long_query_time = 0; SELECT '{mark}'")
    # A relative name is relative to the data directory.
    found = machine.run(
        f"cd $({mysql.CLIENT} -e 'SELECT @@datadir') && tail -c 65536 {file} | grep -c {mark}",
        sudo=True,
        cached=False,
    )
    evidence.that(
        found.stdout.strip() not in ("", "0"),
        looked_at=f"a slow statement of ours in {file}",
        observed=found.stdout.strip() or found.stderr.strip(),
        expected="logged",
    )
