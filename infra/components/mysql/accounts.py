"""Accounts as SQL: who may come from where, over TLS only, with which rights, and nobody else by these names."""

from __future__ import annotations

from dataclasses import dataclass, field

from infra.components.mysql.server import Server


@dataclass(frozen=True)
class Account:
    """One account from one address. `grants` are "PRIVILEGES ON database.table"."""

    user: str
    address: str
    password: str = field(repr=False)
    grants: tuple[str, ...]

    @property
    def name(self) -> str:
        """As SQL names it."""
        return f"'{self.user}'@'{self.address}'"


def accounts_sql(server: Server, database: str, accounts: list[Account]) -> str:
    """Statements that bring database and accounts about; safe to repeat."""
    lines = [f"CREATE DATABASE IF NOT EXISTS `{database}` CHARACTER SET utf8mb4;"]
    for account in accounts:
        secret = server.identified(account.password)
        lines.append(f"CREATE USER IF NOT EXISTS {account.name} {secret} REQUIRE SSL;")
        lines.append(f"ALTER USER {account.name} {secret} REQUIRE SSL;")
        lines.append(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account.name};")
        lines += [f"GRANT {grant} TO {account.name};" for grant in account.grants]
    return "\n".join(lines) + "\n"


def strangers_sql(users: list[str], accounts: list[Account]) -> str:
    """A query whose answer is DROP USER for accounts of these names that come from elsewhere, and nameless ones."""
    names = ", ".join(f"'{user}'" for user in users)
    wanted = ", ".join(f"'{account.user}@{account.address}'" for account in accounts)
    return (
        "SELECT CONCAT('DROP USER ', QUOTE(user), '@', QUOTE(host), ';') FROM mysql.user "  # noqa: S608 (our own names)
        f"WHERE (user IN ({names}) AND CONCAT(user, '@', host) NOT IN ({wanted})) OR user = ''"
    )


def observe_sql(users: list[str], database: str) -> str:
    """A query that shows all that `accounts_sql` decides."""
    names = ", ".join(f"'{user}'" for user in users)
    grantees = " OR ".join(f"grantee LIKE '\\'{user}\\'@%'" for user in users)
    return (
        f"SELECT user, host, ssl_type, authentication_string FROM mysql.user WHERE user IN ({names}) "  # noqa: S608
        "OR user = '' ORDER BY user, host; "
        f"SELECT * FROM information_schema.schema_privileges WHERE {grantees} ORDER BY 1, 3, 4; "
        f"SELECT * FROM information_schema.user_privileges WHERE {grantees} ORDER BY 1, 3; "
        f"SELECT schema_name FROM information_schema.schemata WHERE schema_name = '{database}'"
    )
