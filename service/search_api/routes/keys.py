"""API keys of a user."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from search_api.authentication import Login, forget_keys, limit_user
from search_api.clock import UtcTime, now
from search_api.envelope import Done, Envelope, ok
from search_api.errors import ApiError, api_key_not_found, invalid
from search_api.ids import new_id
from search_api.key_format import new_secret_key, shown_prefix, stored_hash
from search_api.limits.admission import HOUR, hour_counter
from search_api.limits.tiers import TIERS
from search_api.models import ApiKey, ApiKeyUse, User
from search_api.services import AppServices, Services

router = APIRouter(prefix="/api/v1/keys", tags=["keys"])

ENVIRONMENTS = ("test", "live")
PERMISSIONS = ("search", "analytics", "admin")
LAST_YEAR = 9999  # the last that MySQL can hold; beyond it, other time zones overflow
WARNING = "Store the secret key now: it is not shown again."

KeyName = Annotated[str, Field(min_length=3, max_length=255)]


class CreateBody(BaseModel):
    """Environment, permissions and tier have error codes of their own and are judged after the rest."""

    name: KeyName
    environment: str
    permissions: list[str] = Field(default=["search"], max_length=10)
    rateLimitTier: str = "free"
    expiresAt: datetime | None = None


class ChangeBody(BaseModel):
    """What is absent stays; ``expiresAt: null`` takes the end away."""

    name: KeyName | None = None
    permissions: list[str] | None = Field(default=None, max_length=10)
    rateLimitTier: str | None = None
    expiresAt: datetime | None = None


class ApiKeyOut(BaseModel):
    """A key as the API shows it, without its secret."""

    id: str
    name: str
    keyPrefix: str
    environment: str
    permissions: list[str]
    rateLimitTier: str
    expiresAt: UtcTime | None
    lastUsed: UtcTime | None
    lastUsedIp: str | None
    usageCount: int
    isActive: bool
    createdAt: UtcTime
    updatedAt: UtcTime


class CreatedOut(BaseModel):
    """The only answer that ever holds the secret."""

    apiKey: ApiKeyOut
    secretKey: str
    warning: str


class RegenerateBody(BaseModel):
    """How long the old key still works, at most 30 days."""

    graceSeconds: Annotated[int, Field(ge=0, le=2_592_000)] = 0


class RegeneratedOut(CreatedOut):
    """As for a created key, and the id of the one that it replaces."""

    oldKeyId: str


class ListOut(BaseModel):
    """All keys of the user."""

    apiKeys: list[ApiKeyOut]
    total: int


class OneOut(BaseModel):
    """One key."""

    apiKey: ApiKeyOut


@router.post("", status_code=201, response_model_exclude_none=True)
def create_key(
    request: Request, body: CreateBody, services: AppServices, caller: Login
) -> Envelope[CreatedOut]:
    """Make a key; its secret is shown this once."""
    limit_user(request, services, "key_creation", caller.user.id)
    if body.environment not in ENVIRONMENTS:
        raise ApiError(
            400, "INVALID_ENVIRONMENT", f"The environment must be one of {', '.join(ENVIRONMENTS)}."
        )
    _judge_grants(caller.user, _not_empty(body.permissions), body.rateLimitTier)
    key, secret = _new_key(
        services,
        user_id=caller.user.id,
        name=body.name,
        environment=body.environment,
        permissions=list(dict.fromkeys(body.permissions)),
        rate_limit_tier=body.rateLimitTier,
        expires_at=_future(body.expiresAt),
    )
    with services.session() as session:
        session.add(key)
    return ok(request, CreatedOut(apiKey=shown_key(key), secretKey=secret, warning=WARNING))


@router.get("", response_model_exclude_none=True)
def list_keys(request: Request, services: AppServices, caller: Login) -> Envelope[ListOut]:
    """The caller's keys, oldest first."""
    with services.session() as session:
        keys = session.scalars(
            select(ApiKey).where(ApiKey.user_id == caller.user.id, ApiKey.is_active).order_by(ApiKey.id)
        ).all()
    return ok(request, ListOut(apiKeys=[shown_key(key) for key in keys], total=len(keys)))


@router.get("/{key_id}", response_model_exclude_none=True)
def read_key(request: Request, key_id: str, services: AppServices, caller: Login) -> Envelope[OneOut]:
    """One of the caller's keys."""
    with services.session() as session:
        key = _find(session, caller.user.id, key_id)
    return ok(request, OneOut(apiKey=shown_key(key)))


@router.put("/{key_id}", response_model_exclude_none=True)
def change_key(
    request: Request, key_id: str, body: ChangeBody, services: AppServices, caller: Login
) -> Envelope[OneOut]:
    """Change name, permissions, tier or end; in force at once. An administrator may change anybody's: that is how
    tiers and permissions are granted."""
    with services.session() as session:
        key = _find(session, None if caller.user.role == "admin" else caller.user.id, key_id)
        granted = [name for name in body.permissions or [] if name not in key.permissions]
        tier = body.rateLimitTier if body.rateLimitTier != key.rate_limit_tier else None
        _judge_grants(caller.user, granted, tier or "free")
        if body.permissions is not None:
            key.permissions = _not_empty(list(dict.fromkeys(body.permissions)))
        key.name = body.name or key.name
        key.rate_limit_tier = body.rateLimitTier or key.rate_limit_tier
        if "expiresAt" in body.model_fields_set:
            key.expires_at = _future(body.expiresAt)
        key.updated_at = now()
    forget_keys(services, [key.key_hash])
    return ok(request, OneOut(apiKey=shown_key(key)))


@router.delete("/{key_id}")
def revoke_key(request: Request, key_id: str, services: AppServices, caller: Login) -> Envelope[Done]:
    """The key is refused from now on."""
    with services.session() as session:
        key = _find(session, caller.user.id, key_id)
        key.is_active = False
        key.updated_at = now()
    forget_keys(services, [key.key_hash])
    return ok(request, Done())


@router.post("/{key_id}/regenerate", response_model_exclude_none=True)
def regenerate_key(
    request: Request,
    key_id: str,
    services: AppServices,
    caller: Login,
    body: RegenerateBody | None = None,
) -> Envelope[RegeneratedOut]:
    """A new key with the old one's name, environment, permissions, tier and end; the old one dies after the grace.

    The old key is never extended: it ends at its own end or after ``graceSeconds``, whichever is first, and at once
    without them. 409 RESOURCE_CONFLICT for a key that has expired: the new one would be born expired.
    """
    limit_user(request, services, "key_regeneration", caller.user.id)
    grace = body.graceSeconds if body else 0
    with services.session() as session:
        old = _find(session, caller.user.id, key_id, for_update=True)
        moment = now()
        if old.expires_at is not None and old.expires_at <= moment:
            raise ApiError(409, "RESOURCE_CONFLICT", "The key has expired; make a new one.")
        key, secret = _new_key(
            services,
            user_id=old.user_id,
            name=old.name,
            environment=old.environment,
            permissions=old.permissions,
            rate_limit_tier=old.rate_limit_tier,
            expires_at=old.expires_at,
        )
        session.add(key)
        if grace:
            end = moment + timedelta(seconds=grace)
            old.expires_at = end if old.expires_at is None else min(old.expires_at, end)
        else:
            old.is_active = False
        old.updated_at = moment
    forget_keys(services, [old.key_hash])
    made = RegeneratedOut(apiKey=shown_key(key), secretKey=secret, warning=WARNING, oldKeyId=old.id)
    return ok(request, made)


@router.get("/{key_id}/usage")
def read_usage(
    request: Request,
    key_id: str,
    services: AppServices,
    caller: Login,
    days: Annotated[int, Query(ge=1, le=365)] = 30,
) -> Envelope[dict[str, Any]]:
    """Real counters: uses in the last days, in this month, and in the hour that runs, which is the limiter's own count.

    While Redis is away the hour's figure is what was written to MySQL.
    """
    services.usage.flush()
    moment = now()
    hour = moment.replace(minute=0, second=0, microsecond=0)
    month = hour.replace(day=1, hour=0)
    with services.session() as session:
        key = _find(session, caller.user.id, key_id)
        in_days = _uses_since(session, key.id, hour - timedelta(days=days))
        in_month = _uses_since(session, key.id, month)
        in_hour = _uses_since(session, key.id, hour)
    counted = services.limiter.used(hour_counter(key.key_hash), HOUR)
    in_hour = in_hour if counted is None else counted
    limit = services.settings.tiers[key.rate_limit_tier].hourly
    shown = shown_key(key).model_dump(exclude_none=True)
    reset = (hour + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    usage = {
        "apiKeyId": key.id,
        "requestCount": in_days,
        "lastUsed": shown.get("lastUsed"),
        "rateLimitStatus": {
            "tier": key.rate_limit_tier,
            "remaining": max(0, limit - in_hour),
            "resetTime": reset,
        },
    }
    data = {
        "usage": usage,
        "keyId": key.id,
        "totalRequests": key.usage_count,
        "requestsThisMonth": in_month,
        "lastUsed": shown.get("lastUsed"),
        "rateLimitTier": key.rate_limit_tier,
        "quotaUsed": in_hour,
        "quotaLimit": limit,
    }
    return ok(request, data)


def shown_key(key: ApiKey) -> ApiKeyOut:
    """The key as the API shows it."""
    return ApiKeyOut(
        id=key.id,
        name=key.name,
        keyPrefix=key.key_prefix,
        environment=key.environment,
        permissions=key.permissions,
        rateLimitTier=key.rate_limit_tier,
        expiresAt=key.expires_at,
        lastUsed=key.last_used,
        lastUsedIp=key.last_used_ip,
        usageCount=key.usage_count,
        isActive=key.is_active,
        createdAt=key.created_at,
        updatedAt=key.updated_at,
    )


def _find(session: Session, owner: str | None, key_id: str, *, for_update: bool = False) -> ApiKey:
    """The owner's active key; anybody's for the owner None, which only an administrator's change asks for."""
    wanted = select(ApiKey).where(ApiKey.id == key_id, ApiKey.is_active)
    if owner is not None:
        wanted = wanted.where(ApiKey.user_id == owner)
    key = session.scalar(wanted.with_for_update() if for_update else wanted)
    if key is None:
        raise api_key_not_found()
    return key


def _new_key(services: Services, **values: Any) -> tuple[ApiKey, str]:
    """A key that is not stored yet, and its secret."""
    secret = new_secret_key(values["environment"])
    moment = now()
    key = ApiKey(
        id=new_id(),
        key_prefix=shown_prefix(secret),
        key_hash=stored_hash(secret, services.settings.pepper),
        usage_count=0,
        is_active=True,
        created_at=moment,
        updated_at=moment,
        **values,
    )
    return key, secret


def _judge_grants(user: User, permissions: list[str], tier: str) -> None:
    if any(name not in PERMISSIONS for name in permissions):
        raise ApiError(400, "INVALID_PERMISSIONS", f"Permissions must be among {', '.join(PERMISSIONS)}.")
    if tier not in TIERS:
        raise ApiError(400, "INVALID_RATE_LIMIT_TIER", f"The tier must be one of {', '.join(TIERS)}.")
    if user.role != "admin" and ("admin" in permissions or tier != "free"):
        raise ApiError(
            403, "FORBIDDEN", "Only an administrator grants the permission admin and the tiers above free."
        )


def _not_empty(permissions: list[str]) -> list[str]:
    if not permissions:
        raise ApiError(400, "INVALID_PERMISSIONS", "A key needs at least one permission.")
    return permissions


def _future(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if aware.year >= LAST_YEAR:
        raise invalid(
            "expiresAt", f"must lie before the year {LAST_YEAR}; leave it out for a key without end"
        )
    if aware <= now():
        raise invalid("expiresAt", "must be in the future", "not_in_future")
    return aware


def _uses_since(session: Session, key_id: str, moment: datetime) -> int:
    total = session.scalar(
        select(func.sum(ApiKeyUse.requests)).where(ApiKeyUse.api_key_id == key_id, ApiKeyUse.hour >= moment)
    )
    return int(total or 0)
