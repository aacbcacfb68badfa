"""Stored connections of users: always looked up by owner and id together."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from search_api.customer.connect import Target
from search_api.errors import connection_not_found
from search_api.models import DatabaseConnection
from search_api.vault import Vault


def list_connections(session: Session, owner: str) -> list[DatabaseConnection]:
    """All connections of the owner, oldest first."""
    rows = session.scalars(
        select(DatabaseConnection)
        .where(DatabaseConnection.user_id == owner, DatabaseConnection.is_active)
        .order_by(DatabaseConnection.id)
    )
    return list(rows)


def find_connection(session: Session, owner: str, connection_id: str) -> DatabaseConnection:
    """The owner's connection. Raises 404 CONNECTION_NOT_FOUND, the same for a wrong id and for another's id."""
    row = session.scalar(
        select(DatabaseConnection).where(
            DatabaseConnection.id == connection_id,
            DatabaseConnection.user_id == owner,
            DatabaseConnection.is_active,
        )
    )
    if row is None:
        raise connection_not_found()
    return row


def choose_connections(
    rows: Sequence[DatabaseConnection], ids: Sequence[str] | None
) -> list[DatabaseConnection]:
    """Those with these ids, or all of the owner's. Raises 404 CONNECTION_NOT_FOUND when an id is not theirs."""
    if ids is None:
        return list(rows)
    wanted = set(ids)
    chosen = [row for row in rows if row.id in wanted]
    if len(chosen) != len(wanted):
        raise connection_not_found()
    return chosen


def target_of(row: DatabaseConnection, vault: Vault) -> Target:
    """Where to connect, with the opened password. Raises UnreadableCredentialError when it does not open."""
    password = None
    if row.sealed_password is not None:
        password = vault.decrypt(row.sealed_password, owner=row.user_id, row=row.id)
    return Target(row.host, row.port, row.database, row.username, password, row.ssl)


def pool_key(row: DatabaseConnection) -> str:
    """Stands for this state of the connection: a change of it makes another pool."""
    return f"{row.user_id}:{row.id}:{row.updated_at.timestamp()}"
