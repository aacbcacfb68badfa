"""Setting up: the first API key, and what is left to do."""

from fastapi import APIRouter, Request
from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from search_api.authentication import Login
from search_api.clock import now
from search_api.envelope import Envelope, ok
from search_api.errors import ApiError
from search_api.ids import new_id
from search_api.key_format import new_secret_key, shown_prefix, stored_hash
from search_api.models import ApiKey, User
from search_api.routes.keys import WARNING, CreatedOut, shown_key
from search_api.services import AppServices

router = APIRouter(prefix="/api/v1/management", tags=["management"])

FIRST_KEY_NAME = "First key"
DOCUMENTATION = "/api/v1/docs"


class MigrationOut(BaseModel):
    """Whether the user calls the API with a key of their own already, and what to do next."""

    userId: str
    hasMigrated: bool
    recommendedAction: str
    documentation: str


@router.post("/setup", status_code=201, response_model_exclude_none=True)
@router.post("/setup-initial-api-key", status_code=201, response_model_exclude_none=True)
def set_up(request: Request, services: AppServices, caller: Login) -> Envelope[CreatedOut]:
    """Make the caller's first key (test, free, search). 409 RESOURCE_CONFLICT when they have a key."""
    secret = new_secret_key("test")
    moment = now()
    key = ApiKey(
        id=new_id(),
        user_id=caller.user.id,
        name=FIRST_KEY_NAME,
        key_prefix=shown_prefix(secret),
        key_hash=stored_hash(secret, services.settings.pepper),
        environment="test",
        permissions=["search"],
        rate_limit_tier="free",
        usage_count=0,
        is_active=True,
        created_at=moment,
        updated_at=moment,
    )
    with services.session() as session:
        # The user's row is the lock: of two calls at once, the second sees the first's key.
        session.get_one(User, caller.user.id, with_for_update=True)
        if _keys_of(session, caller.user.id):
            raise ApiError(
                409, "RESOURCE_CONFLICT", "There is an API key already; make further ones at keys."
            )
        session.add(key)
    return ok(request, CreatedOut(apiKey=shown_key(key), secretKey=secret, warning=WARNING))


@router.get("/migration-status")
def read_migration_status(request: Request, services: AppServices, caller: Login) -> Envelope[MigrationOut]:
    """Whether the caller has an API key, which searching needs."""
    with services.session() as session:
        has_key = _keys_of(session, caller.user.id) > 0
    advice = (
        "Send the API key with every search."
        if has_key
        else "Make the first API key with POST /api/v1/management/setup."
    )
    return ok(
        request,
        MigrationOut(
            userId=caller.user.id,
            hasMigrated=has_key,
            recommendedAction=advice,
            documentation=DOCUMENTATION,
        ),
    )


def _keys_of(session: Session, user_id: str) -> int:
    return int(
        session.scalar(
            select(func.count()).select_from(ApiKey).where(ApiKey.user_id == user_id, ApiKey.is_active)
        )
        or 0
    )
