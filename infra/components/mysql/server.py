"""What differs between MariaDB and MySQL: names of files, units, clients and statements."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from inventories.schema import DatabaseFlavour


@dataclass(frozen=True)
class Server:
    """A database server's own names."""

    flavour: DatabaseFlavour
    client: str
    unit: str
    config: str
    # Units that the package brings and that must never run: they ignore bind-address.
    sockets: tuple[str, ...]
    process: str

    def identified(self, password: str) -> str:
        """The clause that sets a password. MariaDB gets the hash: it writes statements into its binary log as said."""
        if self.flavour == "mariadb":
            inner = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
            digest = hashlib.sha1(inner, usedforsecurity=False).hexdigest().upper()
            return f"IDENTIFIED BY PASSWORD '*{digest}'"
        return f"IDENTIFIED WITH caching_sha2_password BY '{password}'"


SERVERS: dict[DatabaseFlavour, Server] = {
    "mariadb": Server(
        flavour="mariadb",
        client="mariadb",
        unit="mariadb.service",
        config="/etc/mysql/mariadb.conf.d/90-launchgate.cnf",
        sockets=("mariadb.socket", "mariadb-extra.socket"),
        process="mariadbd",
    ),
    "mysql": Server(
        flavour="mysql",
        client="mysql",
        unit="mysql.service",
        config="/etc/mysql/mysql.conf.d/zz-launchgate.cnf",
        sockets=(),
        process="mysqld",
    ),
}
