"""Registration, login and the profile of a user."""

from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from fastapi import APIRouter, Request
from pydantic import AfterValidator, BaseModel, Field, StringConstraints
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from search_api.accounts import end_account
from search_api.authentication import Login, RefreshingLogin, limit_address
from search_api.clock import UtcTime, now
from search_api.envelope import Done, Envelope, ok
from search_api.errors import ApiError, invalid, unauthorised
from search_api.ids import new_id
from search_api.models import DatabaseConnection, RevokedToken, User
from search_api.passwords import LONGEST, require_strong
from search_api.services import AppServices, Services

router = APIRouter(prefix="/api/v1/auth", tags=["auth"])


def _email(text: str) -> str:
    try:
        return validate_email(text, check_deliverability=False, test_environment=True).normalized.lower()
    except EmailNotValidError:
        raise ValueError("is not an e-mail address") from None


Email = Annotated[str, Field(max_length=254), AfterValidator(_email)]
Password = Annotated[str, Field(min_length=8, max_length=LONGEST)]
AnyPassword = Annotated[str, Field(min_length=1, max_length=LONGEST)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=255)]


class RegisterBody(BaseModel):
    """Anything else in the body, a role for example, is ignored."""

    email: Email
    password: Password
    name: Name


class LoginBody(BaseModel):
    """The answer is the same whether the address or the password is wrong."""

    email: Annotated[str, Field(min_length=1, max_length=254)]
    password: AnyPassword


class ProfileBody(BaseModel):
    """What is absent stays."""

    name: Name | None = None
    email: Email | None = None


class ChangePasswordBody(BaseModel):
    """The rules for a new password are checked after the current one."""

    currentPassword: AnyPassword
    newPassword: Password


class UserOut(BaseModel):
    """A user as the API shows it; ``connectedDatabases`` are ids."""

    id: str
    email: str
    name: str
    role: str
    connectedDatabases: list[str]
    createdAt: UtcTime
    lastActive: UtcTime


class LoginOut(BaseModel):
    """A login; ``expiresIn`` is seconds."""

    user: UserOut
    token: str
    expiresIn: int


@router.post("/register", status_code=201, response_model_exclude_none=True)
def register(request: Request, body: RegisterBody, services: AppServices) -> Envelope[LoginOut]:
    """Make an account. 409 RESOURCE_CONFLICT when the address is taken."""
    limit_address(request, services, "register")
    moment = now()
    user = User(
        id=new_id(),
        email=body.email,
        name=body.name,
        password_hash=services.passwords.hash(body.password),
        role="user",
        token_version=1,
        is_active=True,
        created_at=moment,
        last_active=moment,
    )
    try:
        with services.session() as session:
            session.add(user)
    except IntegrityError:
        raise _taken() from None
    return ok(
        request,
        LoginOut(user=_shown(user, []), token=_token(services, user), expiresIn=services.tokens.lifetime),
    )


@router.post("/login", response_model_exclude_none=True)
def login(request: Request, body: LoginBody, services: AppServices) -> Envelope[LoginOut]:
    """401 AUTHENTICATION_FAILED after the same time for an unknown address and for a wrong password."""
    limit_address(request, services, "login")
    with services.session() as session:
        user = session.scalar(select(User).where(User.email == body.email.strip().lower(), User.is_active))
    if not services.passwords.verify(body.password, user.password_hash if user else None) or user is None:
        raise unauthorised("AUTHENTICATION_FAILED", "E-mail address or password is wrong.")
    with services.session() as session:
        user = session.merge(user)
        user.last_active = now()
        connected = _connected(session, user.id)
    return ok(
        request,
        LoginOut(
            user=_shown(user, connected), token=_token(services, user), expiresIn=services.tokens.lifetime
        ),
    )


@router.get("/profile", response_model_exclude_none=True)
def read_profile(request: Request, services: AppServices, caller: Login) -> Envelope[UserOut]:
    """The caller."""
    with services.session() as session:
        connected = _connected(session, caller.user.id)
    return ok(request, _shown(caller.user, connected))


@router.put("/profile", response_model_exclude_none=True)
def change_profile(
    request: Request, body: ProfileBody, services: AppServices, caller: Login
) -> Envelope[UserOut]:
    """Change name or address. 409 RESOURCE_CONFLICT when the address is taken."""
    try:
        with services.session() as session:
            user = session.get_one(User, caller.user.id)
            user.name = body.name or user.name
            user.email = body.email or user.email
            session.flush()
            connected = _connected(session, user.id)
    except IntegrityError:
        raise _taken() from None
    return ok(request, _shown(user, connected))


@router.post("/change-password")
def change_password(
    request: Request, body: ChangePasswordBody, services: AppServices, caller: Login
) -> Envelope[Done]:
    """Every token that was issued before dies."""
    if not services.passwords.verify(body.currentPassword, caller.user.password_hash):
        raise unauthorised("AUTHENTICATION_FAILED", "The current password is wrong.")
    require_strong("newPassword", body.newPassword)
    if body.newPassword == body.currentPassword:
        raise invalid("newPassword", "is the current password", "same_password")
    hashed = services.passwords.hash(body.newPassword)
    with services.session() as session:
        user = session.get_one(User, caller.user.id, with_for_update=True)
        user.password_hash = hashed
        user.token_version += 1
    return ok(request, Done())


@router.post("/refresh", response_model_exclude_none=True)
def refresh(request: Request, services: AppServices, caller: RefreshingLogin) -> Envelope[LoginOut]:
    """A new token for one that is valid or expired a short while ago, as long as the login itself is not too old."""
    with services.session() as session:
        user = session.get_one(User, caller.user.id)
        user.last_active = now()
        connected = _connected(session, user.id)
    token = services.tokens.issue(user.id, user.token_version, caller.token.logged_in_at)
    return ok(
        request, LoginOut(user=_shown(user, connected), token=token, expiresIn=services.tokens.lifetime)
    )


@router.post("/logout")
def logout(request: Request, services: AppServices, caller: Login) -> Envelope[Done]:
    """The token is revoked."""
    kept_until = caller.token.expires_at + services.tokens.longest_use
    with services.session() as session:
        session.merge(RevokedToken(token_id=caller.token.token_id, expires_at=kept_until))
        session.execute(delete(RevokedToken).where(RevokedToken.expires_at < now()))
    return ok(request, Done())


@router.delete("/account")
def delete_account(request: Request, services: AppServices, caller: Login) -> Envelope[Done]:
    """The account ends: tokens, keys and connections die at once, and the address is free again."""
    end_account(services, caller.user.id)
    return ok(request, Done())


def _token(services: Services, user: User) -> str:
    return services.tokens.issue(user.id, user.token_version)


def _connected(session: Session, user_id: str) -> list[str]:
    return list(
        session.scalars(
            select(DatabaseConnection.id)
            .where(DatabaseConnection.user_id == user_id, DatabaseConnection.is_active)
            .order_by(DatabaseConnection.id)
        )
    )


def _shown(user: User, connected: list[str]) -> UserOut:
    return UserOut(
        id=user.id,
        email=user.email,
        name=user.name,
        role=user.role,
        connectedDatabases=connected,
        createdAt=user.created_at,
        lastActive=user.last_active,
    )


def _taken() -> ApiError:
    return ApiError(409, "RESOURCE_CONFLICT", "This e-mail address is taken.")
