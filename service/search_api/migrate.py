"""Brings the schema up or down, one process at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from search_api.database import connect_arguments, database_url
from search_api.settings import Settings


class MigrationError(Exception):
    """The schema was not changed as asked. The message says why and what to do."""


def upgrade(settings: Settings) -> tuple[str, str]:
    """Bring the schema to the newest revision; a newer schema is left alone. Returns the revisions before and after.

    Raises MigrationError when another migration holds the lock for too long.
    """
    with _locked(settings) as connection:
        config = _config(connection)
        before = _revision(connection)
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if before == "base" or before in known:
            command.upgrade(config, "head")
        return before, _revision(connection)


def downgrade(settings: Settings, revision: str) -> tuple[str, str]:
    """Take the schema back to a revision, or to ``base``. Returns the revisions before and after.

    Raises MigrationError for an unknown revision or a lock held for too long.
    """
    with _locked(settings) as connection:
        before = _revision(connection)
        try:
            command.downgrade(_config(connection), revision)
        except CommandError as error:
            raise MigrationError(f"cannot go from {before} to {revision}: {error}") from None
        return before, _revision(connection)


@contextmanager
def _locked(settings: Settings) -> Iterator[Connection]:
    """A connection that holds the server-wide lock of this schema; it ends with the connection, however that ends."""
    user = settings.migrate_database_user or settings.database_user
    password = (
        settings.migrate_database_password if settings.migrate_database_user else settings.database_password
    )
    arguments = connect_arguments(settings)
    # Waiting for the lock and altering a large table are silent for longer than any statement of the service.
    arguments["read_timeout"] = 3600
    url = database_url(settings, user, password.get_secret_value())
    engine = create_engine(url, connect_args=arguments, poolclass=NullPool, hide_parameters=True)
    name = f"search_api_migrate:{settings.database_name}"[:64]
    with engine.connect() as connection:
        held = connection.execute(
            text("SELECT GET_LOCK(:name, :seconds)"), {"name": name, "seconds": settings.migrate_lock_timeout}
        ).scalar()
        connection.commit()
        if held != 1:
            raise MigrationError(
                f"another migration of {settings.database_name} is running and did not end within "
                f"{settings.migrate_lock_timeout:g} s; wait for it, then try again"
            )
        try:
            yield connection
        finally:
            connection.rollback()
            connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": name})


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def _revision(connection: Connection) -> str:
    revision = MigrationContext.configure(connection).get_current_revision()
    connection.rollback()
    return revision or "base"
