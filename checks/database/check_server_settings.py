"""The service's database server: durable, sized as declared, with its own accounts and no rights to spare."""

from __future__ import annotations

import re

from checks.gate import CouldNotLook, Evidence, MachineUnderCheck, item
from checks.probes import mysql
from inventories.schema import Inventory

DATABASE = "search_api"
SCHEMATA = "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA"
DATA_RIGHTS = {"SELECT", "INSERT", "UPDATE", "DELETE"}
SCHEMA_RIGHTS = DATA_RIGHTS | {"CREATE", "ALTER", "DROP", "INDEX", "REFERENCES", "LOCK TABLES"}
ACCOUNTS = {"search_app": DATA_RIGHTS, "search_migrate": SCHEMA_RIGHTS}
# What a crash may cost: nothing that was committed.
DURABLE = {"innodb_flush_log_at_trx_commit": "1", "sync_binlog": "1", "log_bin": "ON", "binlog_format": "ROW"}
# Servers new enough know no other format and have lost the variable.
GONE = {"binlog_format": "ROW"}
STRICT_MODE = ("STRICT_TRANS_TABLES", "STRICT_ALL_TABLES")
# InnoDB rounds its buffer pool to whole chunks.
POOL_SLACK = 0.25
_GRANT = re.compile(r"^GRANT (?P<rights>.+?) ON (?P<scope>\S+) TO ", re.IGNORECASE)


@item("PRE-DB-1", on="db")
def check_the_server_is_durable_and_sized_as_declared(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    settings = mysql.variables(machine)
    durable = {name: settings.get(name, GONE.get(name, "not there")) for name in DURABLE}
    evidence.expect(looked_at="durability (SHOW GLOBAL VARIABLES)", observed=durable, expected=DURABLE)
    declared = inventory.settings.database_buffer_pool_mb
    pool = mysql.number(settings, "innodb_buffer_pool_size") / 2**20
    evidence.that(
        declared <= pool <= declared * (1 + POOL_SLACK),
        looked_at="innodb_buffer_pool_size",
        observed=f"{pool:.0f} MiB",
        expected=f"{declared} MiB, as declared",
    )
    evidence.expect(
        looked_at="max_connections",
        observed=int(mysql.number(settings, "max_connections")),
        expected=inventory.settings.database_max_connections,
    )
    modes = settings.get("sql_mode", "").split(",")
    evidence.that(
        any(one in modes for one in STRICT_MODE),
        looked_at="sql_mode",
        observed=",".join(modes),
        expected="a strict mode, or values are cut without a word",
    )
    evidence.expect(looked_at="local_infile", observed=settings.get("local_infile"), expected="OFF")


@item("PRE-DB-1", on="db")
def check_the_server_comes_back_after_a_boot(machine: MachineUnderCheck, evidence: Evidence) -> None:
    shown = machine.run("for u in mariadb mysql; do systemctl show -p ActiveState -p UnitFileState $u; done")
    lines = shown.lines()
    pairs = {(lines[at], lines[at + 1]) for at in range(0, len(lines) - 1, 2)}
    evidence.that(
        ("ActiveState=active", "UnitFileState=enabled") in pairs,
        looked_at="the database's unit, now and at boot",
        observed=sorted(pairs),
        expected="active and enabled",
    )


@item("PRE-DB-1", on="db")
def check_the_database_and_its_accounts_exist(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    names = dict(row[:2] for row in mysql.query(machine, SCHEMATA))
    evidence.expect(
        looked_at=f"character set of {DATABASE}", observed=names.get(DATABASE), expected="utf8mb4"
    )
    spare = sorted(name for name in names if name.startswith("test"))
    evidence.expect(looked_at="databases left over from installation", observed=spare, expected=[])
    accounts = {(user, host) for user, host, _ in mysql.accounts(machine)}
    wanted = {(user, app.address) for user in ACCOUNTS for app in inventory.role("app")}
    evidence.expect(
        looked_at="accounts of the service that are missing", observed=sorted(wanted - accounts), expected=[]
    )


@item("PRE-DB-1", on="db")
def check_the_services_accounts_may_do_what_they_must_and_no_more(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    wanted = [(user, app.address) for user in ACCOUNTS for app in inventory.role("app")]
    answer = machine.must(
        "; ".join(
            f"echo '=== {user} {host}'; {mysql.CLIENT} -e \"SHOW GRANTS FOR '{user}'@'{host}'\""
            for user, host in wanted
        ),
        sudo=True,
    )
    for part in answer.stdout.split("=== ")[1:]:
        head, _, text = part.partition("\n")
        user, _, host = head.partition(" ")
        grants = parse_grants(text)
        evidence.expect(
            looked_at=f"rights of {user}@{host}",
            observed={scope: sorted(rights) for scope, rights in grants.items()},
            expected={f"{DATABASE}.*": sorted(ACCOUNTS[user])},
        )


def parse_grants(text: str) -> dict[str, set[str]]:
    """Rights by scope (`search_api.*`, `*.*`) out of SHOW GRANTS; USAGE is none. Raises CouldNotLook."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        match = _GRANT.match(line.strip())
        if match is None:
            raise CouldNotLook(
                f"SHOW GRANTS: a line of unknown shape: {line.split(' IDENTIFIED')[0][:120]!r}"
            )
        rights = {one.strip().upper() for one in match["rights"].split(",")} - {"USAGE"}
        if "WITH GRANT OPTION" in line.upper():
            rights.add("GRANT OPTION")
        if rights:
            scope = match["scope"].replace("`", "").replace("\\", "")
            found.setdefault(scope, set()).update(rights)
    return found
