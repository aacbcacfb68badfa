"""MariaDB or MySQL: the service's database with its replicas, and a customer's own."""

from __future__ import annotations

import shlex
from ipaddress import ip_address

from infra.components.mysql.accounts import Account, accounts_sql, observe_sql, strangers_sql
from infra.components.mysql.replication import replica_script, replica_seen
from infra.components.mysql.server import SERVERS, Server
from infra.components.naming import component
from infra.components.rendering import render
from infra.components.target import Target
from infra.components.tls import deploy as tls
from infra.operations import files, states, units

DATABASE = "search_api"
LOGS = "/var/log/mysql"
CUSTOMER_DATABASE = "packages"
DATA_RIGHTS = "SELECT, INSERT, UPDATE, DELETE"
SCHEMA_RIGHTS = f"{DATA_RIGHTS}, CREATE, ALTER, DROP, INDEX, REFERENCES, LOCK TABLES"


@component("Database")
def mysql(here: Target) -> None:
    """Configures and runs the server, then its accounts, then replication."""
    server = SERVERS[here.flavour]
    if server.sockets:
        units.masked(name="Close the package's own sockets", units=list(server.sockets))
    files.present(name="Configure the database", wanted=configuration(here, server))
    units.running(
        name="Run the database",
        unit=server.unit,
        restart_on=[server.config, tls.CA, tls.CERTIFICATE, tls.key_of("mysql")],
    )
    if is_primary(here):
        _accounts(here, server, DATABASE, service_accounts(here))
    if here.has("customer"):
        _accounts(here, server, CUSTOMER_DATABASE, customer_accounts(here))
    if here.has("db") and not is_primary(here):
        _replication(here, server)


def is_primary(here: Target) -> bool:
    """The first machine of role db is the primary."""
    return here.machine == here.inventory.role("db")[0]


def configuration(here: Target, server: Server) -> list[files.Wanted]:
    """The server's own file, which sorts after the package's."""
    text = render(
        "mysql",
        "server.cnf.j2",
        flavour=server.flavour,
        address=here.machine.address,
        server_id=int(ip_address(here.machine.address)) % 2**32,
        binary_log=here.has("db"),
        replica=here.has("db") and not is_primary(here),
        settings=here.settings,
        tls=tls,
        key=tls.key_of("mysql"),
    )
    # Debian's MariaDB has no such folder; without it the slow log is "ON" and written nowhere.
    return [files.Folder(LOGS, mode="2750", owner="mysql:adm"), files.File(server.config, text)]


def service_accounts(here: Target) -> list[Account]:
    """The service's accounts, from the app machines only, and the replicas'."""
    found = []
    for app in here.inventory.role("app"):
        found.append(
            Account(
                "search_app",
                app.address,
                here.secrets["database_password"],
                (f"{DATA_RIGHTS} ON `{DATABASE}`.*",),
            )
        )
        migrate = here.secrets["migrate_database_password"]
        found.append(Account("search_migrate", app.address, migrate, (f"{SCHEMA_RIGHTS} ON `{DATABASE}`.*",)))
    for replica in here.inventory.role("db")[1:]:
        password = here.secrets["replica_password"]
        found.append(Account("replica", replica.address, password, ("REPLICATION SLAVE ON *.*",)))
    return found


def customer_accounts(here: Target) -> list[Account]:
    """The customer's account that the service searches with: it reads and does nothing else."""
    password = here.secrets["customer_password"]
    return [
        Account("searcher", app.address, password, (f"SELECT ON `{CUSTOMER_DATABASE}`.*",))
        for app in here.inventory.role("app")
    ]


def _accounts(here: Target, server: Server, database: str, accounts: list[Account]) -> None:
    users = sorted({account.user for account in accounts} | ({"replica"} if here.has("db") else set()))
    sql = accounts_sql(server, database, accounts)
    strangers = shlex.quote(strangers_sql(users, accounts))
    states.reached(
        name="Database and accounts",
        key=f"accounts-{database}",
        wanted=sql,
        observe=f"{server.client} -N -e {shlex.quote(observe_sql(users, database))}",
        # The statements hold passwords: they arrive on standard input and meet no argument list and no file.
        apply=f"{server.client}; {server.client} -N -e {strangers} | {server.client}",
        stdin=sql,
    )


def _replication(here: Target, server: Server) -> None:
    primary = here.inventory.role("db")[0]
    script, statements = replica_script(server, primary.name, here.secrets["replica_password"], tls.CA)
    states.reached(
        name="Replicate the primary",
        key="replication",
        wanted=statements,
        observe=replica_seen(server),
        apply=script,
        stdin=statements,
    )
