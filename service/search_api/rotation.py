"""Re-encrypts stored credentials under the first encryption key, while the service goes on."""

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from search_api.cache import Cache
from search_api.database import open_engine, session_of
from search_api.models import EXACT_TEXT, DatabaseConnection
from search_api.owned_connections import connections_changed
from search_api.settings import Settings
from search_api.vault import UnreadableCredentialError, Vault

BATCH = 100


@dataclass
class Rotation:
    """What a run did. ``unreadable`` are ids of connections whose credential does not decrypt; they were left alone."""

    key_id: str
    rotated: int = 0
    unreadable: list[str] = field(default_factory=list)


def rotate_encryption_key(settings: Settings, progress: Callable[[int], None]) -> Rotation:
    """Bring every sealed credential under the first key; calls ``progress`` with the count after each batch.

    What a credential is encrypted with stands in its row, so a run that was broken off is simply run again. Each batch
    is a transaction that locks its rows: a change by a user comes before or after it, never between. Connections keep
    their time of change, so nobody's pools are dropped; the workers read them again, so that none goes on with a
    credential under a key that is about to go. Raises SQLAlchemyError.
    """
    vault = Vault(settings.encryption_keys.get_secret_value())
    done = Rotation(vault.current_key_id)
    engine, cache = open_engine(settings), Cache(settings)
    try:
        last = ""
        while True:
            with session_of(engine) as session:
                rows = _next_batch(session, vault.current_key_id, last)
                for row in rows:
                    _rotate_row(row, vault, done)
            if not rows:
                return done
            for owner in {row.user_id for row in rows}:
                connections_changed(cache, owner)
            last = rows[-1].id
            progress(done.rotated)
    finally:
        cache.close()
        engine.dispose()


def _next_batch(session: Session, key_id: str, after: str) -> list[DatabaseConnection]:
    sealed = DatabaseConnection.sealed_password
    return list(
        session.scalars(
            select(DatabaseConnection)
            .where(
                DatabaseConnection.id > after,
                sealed.is_not(None),
                func.substring_index(sealed, ":", 1).collate(EXACT_TEXT) != key_id,
            )
            .order_by(DatabaseConnection.id)
            .limit(BATCH)
            .with_for_update()
        )
    )


def _rotate_row(row: DatabaseConnection, vault: Vault, done: Rotation) -> None:
    try:
        password = vault.decrypt(row.sealed_password or "", owner=row.user_id, row=row.id)
    except UnreadableCredentialError:
        done.unreadable.append(row.id)
        return
    row.sealed_password = vault.encrypt(password, owner=row.user_id, row=row.id)
    done.rotated += 1
