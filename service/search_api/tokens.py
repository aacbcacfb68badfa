"""Login tokens: JWT signed with HS256, with an id of their own and the version of the user's tokens."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt

from search_api.clock import now
from search_api.errors import unauthorised
from search_api.ids import new_id
from search_api.settings import Settings

_ISSUER = "search-api"
_ALGORITHM = "HS256"
_CLAIMS = ["sub", "jti", "ver", "iat", "exp", "auth_time", "iss"]


@dataclass(frozen=True)
class LoginToken:
    """The verified content of a token."""

    user_id: str
    token_id: str
    version: int
    logged_in_at: datetime
    expires_at: datetime


class Tokens:
    """Issues and reads tokens. Whether one was revoked is the database's business."""

    def __init__(self, settings: Settings) -> None:
        self._key = settings.jwt_key
        self.lifetime = settings.jwt_lifetime
        self._grace = settings.jwt_refresh_grace
        self._session = timedelta(seconds=settings.session_lifetime)

    def issue(self, user_id: str, version: int, logged_in_at: datetime | None = None) -> str:
        """A new token; ``logged_in_at`` is kept over refreshes."""
        issued = now()
        claims = {
            "iss": _ISSUER,
            "sub": user_id,
            "jti": new_id(),
            "ver": version,
            "iat": issued,
            "exp": issued + timedelta(seconds=self.lifetime),
            "auth_time": int((logged_in_at or issued).timestamp()),
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)

    def read(self, text: str, *, refreshing: bool = False) -> LoginToken:
        """Verify a token. Raises 401 TOKEN_EXPIRED or INVALID_TOKEN.

        When refreshing, a token that expired a short while ago still counts, within the life of the login.
        """
        try:
            claims = jwt.decode(
                text,
                self._key,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                leeway=self._grace if refreshing else 0,
                options={"require": _CLAIMS, "verify_iat": False},
            )
            token = LoginToken(
                user_id=str(claims["sub"]),
                token_id=str(claims["jti"]),
                version=int(claims["ver"]),
                logged_in_at=datetime.fromtimestamp(int(claims["auth_time"]), UTC),
                expires_at=datetime.fromtimestamp(int(claims["exp"]), UTC),
            )
        except jwt.ExpiredSignatureError:
            raise unauthorised("TOKEN_EXPIRED", "The token has expired.") from None
        except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError):
            raise unauthorised("INVALID_TOKEN", "The token is not valid.") from None
        if refreshing and token.logged_in_at + self._session < now():
            raise unauthorised("TOKEN_EXPIRED", "The login is too old; log in again.")
        return token

    @property
    def longest_use(self) -> timedelta:
        """How long after its expiry a token could still be refreshed: a revocation is kept for so long."""
        return timedelta(seconds=self._grace)
