"""Making an administrator: only the operator can, on the machine; no request ever does."""

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import select

from search_api.clock import now
from search_api.database import open_engine, session_of
from search_api.errors import invalid
from search_api.ids import new_id
from search_api.models import User
from search_api.passwords import LONGEST, Passwords, require_strong
from search_api.settings import Settings


def create_admin(settings: Settings, *, email: str, name: str, password: str) -> str:
    """Make the administrator, or make an existing user one with this password; their older tokens die.

    Whoever is an administrator with this password already stays untouched, and so do their tokens.
    Returns a line that says what was done. Raises ApiError (400) for a wrong address or a weak password.
    """
    address = normal_email(email)
    if not 12 <= len(password) <= LONGEST:
        raise invalid("password", f"must have 12 to {LONGEST} characters", "length")
    require_strong("password", password)
    passwords = Passwords(settings)
    moment = now()
    engine = open_engine(settings)
    try:
        with session_of(engine) as session:
            user = session.scalar(select(User).where(User.email == address).with_for_update())
            if user is not None:
                if user.is_active and user.role == "admin" and passwords.verify(password, user.password_hash):
                    return f"{address}: is an administrator with this password, nothing to do"
                user.role, user.is_active, user.password_hash = "admin", True, passwords.hash(password)
                user.token_version += 1
                return f"{address}: was there and is an administrator with this password now"
            session.add(
                User(
                    id=new_id(),
                    email=address,
                    name=name,
                    password_hash=passwords.hash(password),
                    role="admin",
                    token_version=1,
                    is_active=True,
                    created_at=moment,
                    last_active=moment,
                )
            )
            return f"{address}: administrator made"
    finally:
        engine.dispose()


def normal_email(text: str) -> str:
    """The address as it is stored. Raises ApiError (400)."""
    try:
        return validate_email(text, check_deliverability=False, test_environment=True).normalized.lower()
    except EmailNotValidError:
        raise invalid("email", "is not an e-mail address", "email") from None
