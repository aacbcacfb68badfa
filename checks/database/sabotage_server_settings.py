"""Database servers whose file is right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from checks.breaks import sql
from checks.gate import MachineUnderCheck, compliant_variant, sabotage
from inventories.schema import Inventory


@sabotage("PRE-DB-1", on="db1", reason="durability")
def a_crash_may_lose_the_binary_log(machine: MachineUnderCheck) -> Iterator[None]:
    """sync_binlog=0 for the sake of speed; the file still says 1."""
    with sql.variable(machine, "sync_binlog", "0"):
        yield


@sabotage("PRE-DB-1", on="db1", near_miss=True, reason="sql_mode")
def values_are_cut_without_a_word(machine: MachineUnderCheck) -> Iterator[None]:
    """Everything else holds; strict mode was dropped for one import."""
    with _modes(
        machine, "REPLACE(REPLACE(@@GLOBAL.sql_mode, 'STRICT_TRANS_TABLES', ''), 'STRICT_ALL_TABLES', '')"
    ):
        yield


@sabotage("PRE-DB-1", on="db1", near_miss=True, may_also_red=("HARD-APP-3",), reason="rights of search_app")
def the_service_may_read_every_session(machine: MachineUnderCheck, inventory: Inventory) -> Iterator[None]:
    """All its own rights are right; one more, on everything, shows it the statements of others."""
    account = f"'search_app'@'{inventory.role('app')[0].address}'"
    with sql.changed(
        machine,
        f"GRANT PROCESS ON *.* TO {account}",
        f"REVOKE PROCESS ON *.* FROM {account}",
        shows="SELECT 1 FROM information_schema.USER_PRIVILEGES "
        "WHERE PRIVILEGE_TYPE = 'PROCESS' AND GRANTEE LIKE '\\'search_app%'",
        database="mysql",
    ):
        yield


@sabotage("PRE-DB-1", on="db1", reason="character set")
def new_tables_cannot_hold_every_language(machine: MachineUnderCheck) -> Iterator[None]:
    """Tables that are there keep utf8mb4; those of the next migration get latin1."""
    with sql.changed(
        machine,
        "ALTER DATABASE search_api CHARACTER SET latin1",
        "ALTER DATABASE search_api CHARACTER SET utf8mb4",
        shows="SELECT 1 FROM information_schema.SCHEMATA "
        "WHERE SCHEMA_NAME = 'search_api' AND DEFAULT_CHARACTER_SET_NAME = 'latin1'",
        database="mysql",
    ):
        yield


@compliant_variant("PRE-DB-1", on="db1")
def every_table_is_strict(machine: MachineUnderCheck) -> Iterator[None]:
    """STRICT_ALL_TABLES is stricter than STRICT_TRANS_TABLES."""
    with _modes(machine, "REPLACE(@@GLOBAL.sql_mode, 'STRICT_TRANS_TABLES', 'STRICT_ALL_TABLES')"):
        yield


@contextmanager
def _modes(machine: MachineUnderCheck, changed: str) -> Iterator[None]:
    before = sql.run(machine, "SELECT @@GLOBAL.sql_mode", "mysql")[0][0]
    with sql.changed(
        machine,
        f"SET GLOBAL sql_mode = {changed}",
        f"SET GLOBAL sql_mode = '{before}'",
        shows=f"SHOW GLOBAL VARIABLES WHERE Variable_name = 'sql_mode' AND Value <> '{before}'",
        database="mysql",
    ):
        yield
