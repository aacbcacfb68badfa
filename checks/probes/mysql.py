"""MariaDB or MySQL, asked by root through the server's own socket on its machine."""

from __future__ import annotations

import shlex

from checks.gate import CouldNotLook, MachineUnderCheck

CLIENT = "mysql --no-defaults --batch --skip-column-names --connect-timeout=5"


def query(machine: MachineUnderCheck, sql: str) -> list[list[str]]:
    """Rows of one or more statements, as text; NULL is the word NULL.

    Raises CouldNotLook when the server does not answer or refuses the statement.
    """
    answer = machine.must(f"{CLIENT} --execute={shlex.quote(sql)}", sudo=True)
    return [line.split("\t") for line in answer.stdout.splitlines()]


def run(machine: MachineUnderCheck, sql: str) -> None:
    """Executes statements now, remembered or not. Raises CouldNotLook when the server refuses them."""
    answer = machine.run(f"{CLIENT} --execute={shlex.quote(sql)}", sudo=True, cached=False)
    if not answer.ok:
        raise CouldNotLook(f"{machine.name}: the database refused: {answer.stderr.strip()[-200:]}")


def variables(machine: MachineUnderCheck) -> dict[str, str]:
    """Global variables in force. Raises CouldNotLook."""
    return pairs(query(machine, "SHOW GLOBAL VARIABLES"))


def accounts(machine: MachineUnderCheck) -> list[tuple[str, str, str]]:
    """Every account: user, host, and the kind of TLS that it must use (empty: none). Raises CouldNotLook."""
    rows = query(machine, "SELECT User, Host, ssl_type FROM mysql.user ORDER BY User, Host")
    if not rows:
        raise CouldNotLook(f"{machine.name}: mysql.user lists no account at all")
    return [(user, host, kind[0] if kind else "") for user, host, *kind in rows]


def number(settings: dict[str, str], name: str) -> float:
    """A numeric variable. Raises CouldNotLook when the server has none of that name."""
    value = settings.get(name)
    if value is None:
        raise CouldNotLook(f"the database has no variable {name}")
    try:
        return float(value)
    except ValueError as fault:
        raise CouldNotLook(f"{name} = {value!r} is not a number") from fault


def pairs(rows: list[list[str]]) -> dict[str, str]:
    """Rows of name and value as a mapping; a value may itself hold tabs."""
    return {row[0].lower(): "\t".join(row[1:]) for row in rows}
