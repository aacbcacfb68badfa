"""Slow logs that are on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from checks.breaks import sql
from checks.gate import MachineUnderCheck, compliant_variant, sabotage


@sabotage("PERF-DB-3", on="db1", reason="slow_query_log")
def the_slow_log_is_off(machine: MachineUnderCheck) -> Iterator[None]:
    """Switched off at run time while somebody looked for something else."""
    with sql.variable(machine, "slow_query_log", "OFF"):
        yield


@sabotage("PERF-DB-3", on="db1", near_miss=True, reason="long_query_time")
def only_what_takes_an_hour_is_slow(machine: MachineUnderCheck) -> Iterator[None]:
    """ON, with a file, and nothing will ever be in it."""
    with _limit(machine, "3600"):
        yield


@sabotage("PERF-DB-3", on="db2", near_miss=True, reason="log_output")
def the_log_goes_nowhere(machine: MachineUnderCheck) -> Iterator[None]:
    """ON, at the right limit, and written to nothing."""
    with sql.variable(machine, "log_output", "NONE"):
        yield


@compliant_variant("PERF-DB-3", on="db1")
def the_limit_is_lower_than_declared(machine: MachineUnderCheck) -> Iterator[None]:
    """Whoever logs more than asked logs what was asked."""
    with _limit(machine, "0.2"):
        yield


@contextmanager
def _limit(machine: MachineUnderCheck, seconds: str) -> Iterator[None]:
    before = sql.run(machine, "SELECT @@GLOBAL.long_query_time", "mysql")[0][0]
    with sql.changed(
        machine,
        f"SET GLOBAL long_query_time = {seconds}",
        f"SET GLOBAL long_query_time = {before}",
        shows=f"SELECT 1 WHERE ABS(@@GLOBAL.long_query_time - {seconds}) < 0.001",
        database="mysql",
    ):
        yield
