"""The service's own database: engine, sessions, and whether its schema fits this code."""

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, Pool, create_engine, event, text
from sqlalchemy.orm import Session

from search_api import metrics
from search_api.settings import Settings

SCHEMA_NUMBER = 9  # the newest revision that this code knows: its id is this number, four digits wide


def open_engine(settings: Settings) -> Engine:
    """The pooled engine of the running service; no connection is made yet."""
    engine = create_engine(
        database_url(settings, settings.database_user, settings.database_password.get_secret_value()),
        connect_args=connect_arguments(settings),
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=settings.pool_timeout,
        pool_recycle=int(settings.pool_recycle),
        pool_pre_ping=True,
        isolation_level="READ COMMITTED",
        hide_parameters=True,
    )
    _count_statements(engine)
    count_connections(engine.pool, "platform")
    return engine


def database_url(settings: Settings, user: str, password: str) -> URL:
    """Where the service's own database is, for this account."""
    return URL.create(
        "mysql+pymysql",
        user,
        password,
        settings.database_host,
        settings.database_port,
        settings.database_name,
    )


def connect_arguments(settings: Settings) -> dict[str, Any]:
    """What PyMySQL needs: time limits, UTC, strict mode, and TLS that verifies when a CA is named."""
    arguments: dict[str, Any] = {
        "charset": "utf8mb4",
        "connect_timeout": settings.connect_timeout,
        "read_timeout": settings.read_timeout,
        "write_timeout": settings.read_timeout,
        "init_command": "SET time_zone = '+00:00'",
        "sql_mode": "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION",
    }
    if settings.database_tls_ca is not None:
        arguments["ssl"] = verifying_context(settings.database_tls_ca)
    return arguments


def verifying_context(ca: Path | None, *, with_system: bool = False) -> ssl.SSLContext:
    """A TLS context that verifies the chain and the name, against this CA and, when asked, the system's."""
    context = ssl.create_default_context(cafile=None if with_system or ca is None else str(ca))
    if with_system and ca is not None:
        context.load_verify_locations(cafile=str(ca))
    # Certificates that MySQL makes for itself lack extensions which Python 3.13's strict mode asks for;
    # the chain and the name are verified all the same.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


@contextmanager
def session_of(engine: Engine) -> Iterator[Session]:
    """A short session: commits at the end, rolls back on an exception. Hold it for statements only."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


def schema_fault(engine: Engine) -> str:
    """Why this code cannot work on the schema, or an empty string. Raises SQLAlchemyError when MySQL is unreachable.

    A newer schema is fine until a contract migration says otherwise: during a release old and new code share it.
    """
    with engine.connect() as connection:
        row = connection.execute(
            text(
                "SELECT v.version_num, c.oldest_reader FROM alembic_version v, schema_contract c WHERE c.id = 1"
            )
        ).first()
    if row is None:
        return "the schema is not complete; run `search-api migrate`"
    number, oldest_reader = int(row[0]), int(row[1])
    if number < SCHEMA_NUMBER:
        return f"the schema is at {number:04d} and this version needs {SCHEMA_NUMBER:04d}; run `search-api migrate`"
    if oldest_reader > SCHEMA_NUMBER:
        return f"the schema can be read from version {oldest_reader:04d} on and this code knows {SCHEMA_NUMBER:04d}"
    return ""


def count_connections(pool: Pool, target: str) -> None:
    """Keep database_connections_active true for this pool."""
    gauge = metrics.DATABASE_CONNECTIONS.labels(target)

    @event.listens_for(pool, "checkout")
    def _out(*_arguments: Any) -> None:
        gauge.inc()

    @event.listens_for(pool, "checkin")
    def _in(*_arguments: Any) -> None:
        gauge.dec()


def _count_statements(engine: Engine) -> None:
    counter = metrics.SQL_STATEMENTS.labels("platform")
    seconds = metrics.SQL_SECONDS.labels("platform")

    @event.listens_for(engine, "before_cursor_execute")
    def _before(
        _connection: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool
    ) -> None:
        counter.inc()
        context.started = time.perf_counter()

    @event.listens_for(engine, "after_cursor_execute")
    def _after(
        _connection: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool
    ) -> None:
        seconds.observe(time.perf_counter() - context.started)
