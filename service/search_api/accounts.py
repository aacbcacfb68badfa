"""Ending an account: the row stays, everything that could be used or that names the person goes."""

from sqlalchemy import select, update

from search_api.authentication import forget_keys
from search_api.clock import now
from search_api.models import ApiKey, DatabaseConnection, User
from search_api.owned_connections import connections_changed
from search_api.services import Services

_NAME = "Deleted user"


def end_account(services: Services, user_id: str) -> None:
    """Deactivate the user, their keys and connections; wipe sealed passwords; free the address.

    Tokens die by their version, in every worker with its next look at the row. Keys are taken out of the shared
    cache once the change is committed, and what any worker kept of the connections counts no more.
    """
    moment = now()
    with services.session() as session:
        user = session.get_one(User, user_id, with_for_update=True)
        hashes = list(
            session.scalars(select(ApiKey.key_hash).where(ApiKey.user_id == user_id, ApiKey.is_active))
        )
        user.is_active = False
        user.token_version += 1
        user.email = f"deleted-{user_id}@deleted.invalid"
        user.name = _NAME
        user.password_hash = ""
        session.execute(
            update(ApiKey)
            .where(ApiKey.user_id == user_id, ApiKey.is_active)
            .values(is_active=False, updated_at=moment)
        )
        session.execute(
            update(DatabaseConnection)
            .where(DatabaseConnection.user_id == user_id)
            .values(is_active=False, sealed_password=None, updated_at=moment)
        )
    forget_keys(services, hashes)
    connections_changed(services.cache, user_id)
