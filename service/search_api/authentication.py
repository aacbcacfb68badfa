"""Who is calling: a user with a login token, or a program with an API key."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import select
from sqlalchemy.orm import Session

from search_api.clock import now
from search_api.errors import ApiError, unauthorised
from search_api.key_format import is_well_formed, stored_hash
from search_api.models import ApiKey, RevokedToken, User
from search_api.services import AppServices, Services
from search_api.tokens import LoginToken

_KEY_KIND = "key"
_LOOK_IT_UP = b"-"  # stands in the cache for a key that changed a moment ago
_ALL_PERMISSIONS = "admin"


@dataclass(frozen=True)
class LoggedIn:
    """A user with a valid token."""

    user: User
    token: LoginToken


@dataclass(frozen=True)
class KeyHolder:
    """A program with a valid API key: whose key it is and what it may do."""

    key_id: str
    user_id: str
    permissions: tuple[str, ...]
    tier: str
    expires_at: datetime | None


def logged_in(request: Request, services: AppServices) -> LoggedIn:
    """Dependency: the caller's login. Raises 401 NO_TOKEN, INVALID_AUTH_FORMAT, INVALID_TOKEN or TOKEN_EXPIRED."""
    return _login(request, services, refreshing=False)


def refreshing_login(request: Request, services: AppServices) -> LoggedIn:
    """Dependency: as logged_in, and a token that expired a short while ago counts too."""
    return _login(request, services, refreshing=True)


def key_holder(permission: str) -> Callable[[Request, Services], KeyHolder]:
    """Dependency: the caller's API key, which must carry the permission (``admin`` carries all).

    Raises 401 NO_API_KEY, INVALID_AUTH_FORMAT, INVALID_API_KEY_FORMAT, INVALID_API_KEY or EXPIRED_API_KEY, and
    403 INSUFFICIENT_PERMISSIONS.
    """

    def dependency(request: Request, services: AppServices) -> KeyHolder:
        holder = _find_key(services, _key_text(request))
        if holder.expires_at is not None and holder.expires_at <= now():
            raise unauthorised("EXPIRED_API_KEY", "The API key has expired.")
        if permission not in holder.permissions and _ALL_PERMISSIONS not in holder.permissions:
            raise ApiError(403, "INSUFFICIENT_PERMISSIONS", f"The API key lacks the permission {permission}.")
        request.scope["api_key_tier"] = holder.tier
        services.usage.count(holder.key_id, request.scope["client_address"])
        return holder

    return dependency


def forget_keys(services: Services, key_hashes: list[str]) -> None:
    """Make every worker look these keys up again from now on: they were changed or revoked."""
    for key_hash in key_hashes:
        # A mark and not a deletion: a worker that read the old row a moment ago must not bring it back.
        services.cache.put(_KEY_KIND, key_hash, _LOOK_IT_UP, services.settings.key_cache_seconds * 2)


Login = Annotated[LoggedIn, Depends(logged_in)]
RefreshingLogin = Annotated[LoggedIn, Depends(refreshing_login)]
SearchKey = Annotated[KeyHolder, Depends(key_holder("search"))]
AnalyticsKey = Annotated[KeyHolder, Depends(key_holder("analytics"))]


def _login(request: Request, services: Services, *, refreshing: bool) -> LoggedIn:
    header = request.headers.get("authorization", "")
    if not header:
        raise unauthorised("NO_TOKEN", "Send the login token as Authorization: Bearer.")
    token = services.tokens.read(_bearer(header), refreshing=refreshing)
    with services.session() as session:
        user = _owner_of(session, token)
    if user is None:
        raise unauthorised("INVALID_TOKEN", "The token is not valid.")
    return LoggedIn(user, token)


def _owner_of(session: Session, token: LoginToken) -> User | None:
    revoked = select(RevokedToken.token_id).where(RevokedToken.token_id == token.token_id).exists()
    return session.scalar(
        select(User).where(
            User.id == token.user_id, User.is_active, User.token_version == token.version, ~revoked
        )
    )


def _bearer(header: str) -> str:
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "bearer" or not value.strip():
        raise unauthorised("INVALID_AUTH_FORMAT", "The Authorization header must read: Bearer <value>.")
    return value.strip()


def _key_text(request: Request) -> str:
    header = request.headers.get("authorization", "")
    text = _bearer(header) if header else request.headers.get("x-api-key", "").strip()
    if not text:
        raise unauthorised("NO_API_KEY", "Send the API key as Authorization: Bearer or X-API-Key.")
    if not is_well_formed(text):
        raise unauthorised("INVALID_API_KEY_FORMAT", "This is not an API key; check that it is complete.")
    return text


def _find_key(services: Services, text: str) -> KeyHolder:
    key_hash = stored_hash(text, services.settings.pepper)
    cached = services.cache.get(_KEY_KIND, key_hash)
    if cached is not None and cached != _LOOK_IT_UP:
        return _unpack(cached)
    with services.session() as session:
        key = session.scalar(
            select(ApiKey)
            .join(User, User.id == ApiKey.user_id)
            .where(ApiKey.key_hash == key_hash, ApiKey.is_active, User.is_active)
        )
    if key is None:
        raise unauthorised("INVALID_API_KEY", "The API key is not valid.")
    holder = KeyHolder(key.id, key.user_id, tuple(key.permissions), key.rate_limit_tier, key.expires_at)
    if cached is None:
        services.cache.put(
            _KEY_KIND, key_hash, _pack(holder), services.settings.key_cache_seconds, only_if_absent=True
        )
    return holder


def _pack(holder: KeyHolder) -> bytes:
    expires = holder.expires_at.isoformat() if holder.expires_at else None
    return json.dumps([holder.key_id, holder.user_id, holder.permissions, holder.tier, expires]).encode()


def _unpack(packed: bytes) -> KeyHolder:
    key_id, user_id, permissions, tier, expires = json.loads(packed)
    return KeyHolder(
        key_id, user_id, tuple(permissions), tier, datetime.fromisoformat(expires) if expires else None
    )
