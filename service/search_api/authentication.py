"""Who is calling: a user with a login token, or a program with an API key."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any

import anyio.to_thread
from fastapi import Depends, Request
from sqlalchemy import select
from sqlalchemy.orm import Session

from search_api.errors import ApiError, unauthorised
from search_api.key_format import LIVE_PREFIX, is_well_formed, stored_hash
from search_api.limits.admission import Ask, Verdict
from search_api.limits.attempts import OfAddress, OfUser
from search_api.models import ApiKey, RevokedToken, User
from search_api.services import AppServices, Services
from search_api.tokens import LoginToken

_KEY_KIND = "key"
_LOOK_IT_UP = b"-"  # stands in the cache for a key that changed a moment ago
_ALL_PERMISSIONS = "admin"
_KEY_HEADERS = (b"authorization", b"x-api-key")


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


def key_holder(permission: str) -> Callable[[Request, Services], Awaitable[KeyHolder]]:
    """Dependency: the caller's API key, which must carry the permission (``admin`` carries all).

    Raises 401 NO_API_KEY, INVALID_AUTH_FORMAT, INVALID_API_KEY_FORMAT, INVALID_API_KEY or EXPIRED_API_KEY, 403
    ENVIRONMENT_MISMATCH or INSUFFICIENT_PERMISSIONS, and 429 RATE_LIMIT_EXCEEDED.
    """

    async def dependency(request: Request, services: AppServices) -> KeyHolder:
        return (await admit(request.scope, services, permission))[0]

    return dependency


async def admit(
    scope: MutableMapping[str, Any], services: Services, permission: str, question: str = ""
) -> tuple[KeyHolder, Verdict]:
    """Authenticate an API key, count the request, and bring along the cached answer to the question if there is one.

    One round trip to Redis, and a second only when the key has to be read from MySQL. What is counted is a request with
    a valid key: it is counted once, also when it then lacks a permission. Raises as ``key_holder`` says.

    A ``live`` key is refused by a service whose environment is development or test, so that production's keys are never
    tried out there; a ``test`` key works everywhere.
    """
    address = scope["client_address"]
    try:
        text = _key_text(scope)
        verdict = await _judge(services, stored_hash(text, services.settings.pepper), address, question)
    except ApiError as error:
        await _count_failure(services, address, error)
        raise
    scope["verdict"] = verdict
    holder = _unpack(verdict.record)
    if verdict.outcome != "ok":
        raise services.admissions.refuse(verdict, holder.tier)
    scope["limit_headers"] = services.admissions.standing(verdict, holder.tier).headers()
    scope["api_key_tier"] = holder.tier
    services.usage.count(holder.key_id, address)
    if text.startswith(LIVE_PREFIX) and services.settings.environment in ("development", "test"):
        raise ApiError(
            403, "ENVIRONMENT_MISMATCH", "A live key does not work on a test system; use a test key."
        )
    if permission not in holder.permissions and _ALL_PERMISSIONS not in holder.permissions:
        raise ApiError(403, "INSUFFICIENT_PERMISSIONS", f"The API key lacks the permission {permission}.")
    return holder, verdict


def limit_address(request: Request, services: Services, kind: OfAddress) -> None:
    """Count an attempt of the caller's address. Raises 429 RATE_LIMIT_EXCEEDED."""
    request.scope["limit_headers"] = services.limiter.allow_address(kind, request.scope["client_address"])


def limit_user(request: Request, services: Services, kind: OfUser, user_id: str) -> None:
    """Count an attempt of the user. Raises 429 RATE_LIMIT_EXCEEDED."""
    request.scope["limit_headers"] = services.limiter.allow_user(kind, user_id)


def forget_keys(services: Services, key_hashes: list[str]) -> None:
    """Make every worker look these keys up again from now on: they were changed or revoked."""
    for key_hash in key_hashes:
        # A mark and not a deletion: a worker that read the old row a moment ago must not bring it back.
        services.cache.deliver(_KEY_KIND, key_hash, _LOOK_IT_UP, services.settings.key_cache_seconds * 2)


Login = Annotated[LoggedIn, Depends(logged_in)]
RefreshingLogin = Annotated[LoggedIn, Depends(refreshing_login)]
SearchKey = Annotated[KeyHolder, Depends(key_holder("search"))]
AnalyticsKey = Annotated[KeyHolder, Depends(key_holder("analytics"))]


def _login(request: Request, services: Services, *, refreshing: bool) -> LoggedIn:
    header = request.headers.get("authorization", "")
    if not header:
        raise unauthorised("NO_TOKEN", "Send the login token as Authorization: Bearer.")
    address = request.scope["client_address"]
    services.limiter.allow_address("failed_authentication", address)
    try:
        token = services.tokens.read(_bearer(header), refreshing=refreshing)
        with services.session() as session:
            user = _owner_of(session, token)
        if user is None:
            raise unauthorised("INVALID_TOKEN", "The token is not valid.")
    except ApiError:
        services.limiter.failed(address)
        raise
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


def _key_text(scope: MutableMapping[str, Any]) -> str:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    sent = {name: value.decode("latin-1") for name, value in headers if name in _KEY_HEADERS}
    header = sent.get(b"authorization", "")
    text = _bearer(header) if header else sent.get(b"x-api-key", "").strip()
    if not text:
        raise unauthorised("NO_API_KEY", "Send the API key as Authorization: Bearer or X-API-Key.")
    if not is_well_formed(text):
        raise unauthorised("INVALID_API_KEY_FORMAT", "This is not an API key; check that it is complete.")
    return text


async def _judge(services: Services, key_hash: str, address: str, question: str) -> Verdict:
    counted = services.limiter.counted_address(address)
    verdict = await services.admissions.admit(Ask(key_hash, counted, question))
    if verdict.outcome in ("unknown", "changed"):
        if verdict.alone and counted:
            await anyio.to_thread.run_sync(services.limiter.allow_address, "failed_authentication", address)
        record = await anyio.to_thread.run_sync(_read_record, services, key_hash)
        keep = services.settings.key_cache_seconds if verdict.outcome == "unknown" else 0
        verdict = await services.admissions.admit(Ask(key_hash, counted, question, record, keep))
    if verdict.outcome == "address":
        # Raises, because Redis counted too many; the look decides again only if the minute has just ended.
        await anyio.to_thread.run_sync(services.limiter.allow_address, "failed_authentication", address)
        return await _judge(services, key_hash, address, question)
    if verdict.outcome == "expired":
        raise unauthorised("EXPIRED_API_KEY", "The API key has expired.")
    return verdict


async def _count_failure(services: Services, address: str, error: ApiError) -> None:
    if error.status == 401 and error.code != "NO_API_KEY":
        await services.limiter.failed_on_loop(address)


def _read_record(services: Services, key_hash: str) -> str:
    with services.session() as session:
        key = session.scalar(
            select(ApiKey)
            .join(User, User.id == ApiKey.user_id)
            .where(ApiKey.key_hash == key_hash, ApiKey.is_active, User.is_active)
        )
    if key is None:
        raise unauthorised("INVALID_API_KEY", "The API key is not valid.")
    ends = "" if key.expires_at is None else str(int(key.expires_at.timestamp() * 1000))
    return "|".join((key.id, key.user_id, key.rate_limit_tier, ",".join(key.permissions), ends))


@lru_cache(maxsize=4096)
def _unpack(record: str) -> KeyHolder:
    """A record as Redis keeps it: id, owner, tier, permissions, end in Unix milliseconds or nothing."""
    key_id, user_id, tier, permissions, ends = record.split("|")
    expires = datetime.fromtimestamp(int(ends) / 1000, UTC) if ends else None
    return KeyHolder(key_id, user_id, tuple(permissions.split(",")), tier, expires)
