"""Passwords of users: argon2id, and the rules for a new one."""

import re
import secrets

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from search_api.errors import invalid
from search_api.settings import Settings

LONGEST = 256
_CLASSES = {
    "an upper-case letter": re.compile(r"[A-Z]"),
    "a lower-case letter": re.compile(r"[a-z]"),
    "a digit": re.compile(r"\d"),
    "a special character": re.compile(r"[^A-Za-z0-9\s]"),
}


class Passwords:
    """Hashes and verifies. Verifying costs the same whether the user exists or not."""

    def __init__(self, settings: Settings) -> None:
        self._hash = PasswordHash(
            (
                Argon2Hasher(
                    time_cost=settings.password_time_cost,
                    memory_cost=settings.password_memory_kib,
                    parallelism=1,
                ),
            )
        )
        self._nobody = self._hash.hash(secrets.token_urlsafe())

    def hash(self, password: str) -> str:
        """The argon2id hash, with its parameters and salt."""
        return self._hash.hash(password)

    def verify(self, password: str, stored: str | None) -> bool:
        """Whether the password is the stored one; ``None`` (no such user) takes as long and is False."""
        return self._hash.verify(password, stored or self._nobody) and stored is not None


def require_strong(field: str, password: str) -> None:
    """Raise VALIDATION_ERROR when a new password lacks a class of characters."""
    missing = [name for name, pattern in _CLASSES.items() if not pattern.search(password)]
    if missing:
        raise invalid(field, f"needs {', '.join(missing)}", "weak_password")
