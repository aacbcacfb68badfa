"""One connection to a user's database: checked address, verified TLS, time limits in the server, read only."""

import contextlib
import socket
import ssl
from dataclasses import dataclass
from typing import TypeAlias

import pymysql

from search_api.customer.outbound import UnknownHostError, checked_addresses
from search_api.customer.wire import BROKEN_PROTOCOL, BoundedConnection, Limits, NoClearPassword
from search_api.database import verifying_context
from search_api.settings import Settings

PyMySQLConnection: TypeAlias = BoundedConnection

_HELP = {
    1044: "the account may not use this database",
    1045: "the server refused user name or password",
    1049: "the server has no such database",
    1040: "the server has too many connections",
    1130: "the server refuses connections from this service",
    1698: "the server refused user name or password",
    3159: "the server wants an encrypted connection; set ssl to true",
}

_LONGEST_VERSION = 100


class CannotConnectError(Exception):
    """A user's database cannot be reached. The message is for that user and holds no secret."""


@dataclass(frozen=True)
class Target:
    """Where and as whom to connect."""

    host: str
    port: int
    database: str
    username: str
    password: str | None
    tls: bool


class Connector:
    """Opens connections to users' databases by the operator's rules."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tls = verifying_context(settings.customer_tls_ca, with_system=True)

    def connect(self, target: Target) -> PyMySQLConnection:
        """A ready connection.

        Raises CannotConnectError, or ApiError 403 HOST_NOT_ALLOWED.
        """
        connection = _unconnected(target, self._settings, self._tls if target.tls else None)
        try:
            connection.connect(self._dial(target))
            self._limit(connection)
        except (pymysql.err.MySQLError, OSError, *BROKEN_PROTOCOL) as error:
            with contextlib.suppress(pymysql.err.MySQLError, OSError, *BROKEN_PROTOCOL):
                connection.close()
            raise CannotConnectError(_explain(error)) from None
        return connection

    def _dial(self, target: Target) -> socket.socket:
        try:
            addresses = checked_addresses(target.host, target.port, self._settings.customer_allowed_networks)
        except UnknownHostError:
            raise CannotConnectError("the host name does not resolve") from None
        failure: OSError | None = None
        for address in addresses[:4]:
            try:
                dialled = socket.create_connection(
                    (str(address), target.port), timeout=self._settings.customer_connect_timeout
                )
            except OSError as error:
                failure = error
                continue
            dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            dialled.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return dialled
        raise CannotConnectError(_explain(failure or OSError()))

    def _limit(self, connection: PyMySQLConnection) -> None:
        seconds = self._settings.customer_statement_timeout
        with connection.cursor() as cursor:
            if is_mariadb(connection):
                cursor.execute("SET SESSION max_statement_time = %s", (seconds,))
            else:
                cursor.execute("SET SESSION MAX_EXECUTION_TIME = %s", (int(seconds * 1000),))
            cursor.execute("SET SESSION TRANSACTION READ ONLY")


def is_mariadb(connection: PyMySQLConnection) -> bool:
    """Which of the two families the server is of."""
    return "mariadb" in server_version(connection).lower()


def server_version(connection: PyMySQLConnection) -> str:
    """What the server calls itself, as far as it can be shown: the server is a stranger."""
    # MariaDB up to 10 puts a number in front, for replicas of another age that take no larger one.
    text = str(connection.get_server_info()).removeprefix("5.5.5-")  # type: ignore[no-untyped-call]
    return "".join(letter for letter in text[:_LONGEST_VERSION] if letter.isprintable())


def _unconnected(target: Target, settings: Settings, tls: ssl.SSLContext | None) -> PyMySQLConnection:
    return BoundedConnection(
        Limits(
            connect_seconds=settings.customer_connect_timeout + settings.customer_read_timeout,
            statement_seconds=settings.customer_statement_timeout + settings.customer_read_timeout,
        ),
        host=target.host,
        port=target.port,
        user=target.username,
        # PyMySQL encodes text as latin-1, which loses other characters; the servers expect UTF-8.
        password=(target.password or "").encode(),
        database=target.database,
        charset="utf8mb4",
        autocommit=True,
        local_infile=False,
        # Without TLS nobody but the server's own say-so would hide a password that is sent as it is.
        auth_plugin_map={} if tls else {"mysql_clear_password": NoClearPassword, "dialog": NoClearPassword},
        connect_timeout=settings.customer_connect_timeout,
        read_timeout=settings.customer_read_timeout,
        write_timeout=settings.customer_read_timeout,
        ssl=tls,
        program_name="search-api",
        defer_connect=True,
    )


def _explain(error: Exception) -> str:
    original = getattr(error, "original_exception", error)
    if isinstance(original, ssl.SSLCertVerificationError):
        return f"the server's certificate is not valid: {original.verify_message}"
    if isinstance(original, ssl.SSLError):
        return "the encrypted connection failed"
    if isinstance(original, TimeoutError):
        return "the server did not answer in time"
    if isinstance(original, ConnectionRefusedError):
        return "nothing listens at this host and port"
    if isinstance(original, BROKEN_PROTOCOL):
        return "the server does not speak MySQL's protocol"
    number = original.args[0] if original.args and isinstance(original.args[0], int) else 0
    if number == 2026:
        return "the server offers no encrypted connection"
    return _HELP.get(number, f"the connection failed (error {number})")
