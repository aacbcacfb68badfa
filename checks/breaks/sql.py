"""A database changed for a while by statements, and changed back by others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from checks.gate import DidNotApply, MachineUnderCheck
from checks.probes import mysql

DATABASE = "search_api"
STATEMENT_TIMEOUT_S = 60.0


def run(machine: MachineUnderCheck, sql: str, database: str = DATABASE) -> list[list[str]]:
    """Statements as root, over standard input: they may hold secrets. Returns the rows."""
    answer = machine.must(f"{mysql.CLIENT} {database}", sudo=True, stdin=sql, timeout_s=STATEMENT_TIMEOUT_S)
    return [line.split("\t") for line in answer.stdout.splitlines()]


@contextmanager
def changed(
    machine: MachineUnderCheck, do: str, undo: str, *, shows: str, database: str = DATABASE
) -> Iterator[None]:
    """Run `do`, and `undo` afterwards. `shows`: a query that answers at least one row then, else DidNotApply."""
    try:
        run(machine, do, database)
        if not run(machine, shows, database):
            raise DidNotApply(f"no row from: {shows}")
        yield
    finally:
        run(machine, undo, database)


@contextmanager
def trigger(machine: MachineUnderCheck, when: str, body: str) -> Iterator[None]:
    """A trigger such as ("BEFORE INSERT ON users", "SET NEW.is_active = 0") on the service's own database."""
    with changed(
        machine,
        f"DELIMITER //\nCREATE TRIGGER launchgate_break {when} FOR EACH ROW BEGIN {body}; END//\nDELIMITER ;\n",
        "DROP TRIGGER IF EXISTS launchgate_break",
        shows="SELECT 1 FROM information_schema.triggers WHERE trigger_name = 'launchgate_break'",
    ):
        yield


@contextmanager
def variable(machine: MachineUnderCheck, name: str, value: str) -> Iterator[None]:
    """A global variable with another value, in force though no file says so."""
    before = mysql.variables(machine)[name]
    with changed(
        machine,
        f"SET GLOBAL {name} = {value}",
        f"SET GLOBAL {name} = {before}",
        shows=f"SHOW GLOBAL VARIABLES WHERE Variable_name = '{name}' AND Value = '{value}'",
    ):
        yield
