"""Judges whether a secret can be used. Each function returns what is wrong with the cure, or an empty string."""

import base64
import binascii
import re

DEVELOPMENT_JWT_SECRET = "development only: signs nothing that matters"  # noqa: S105
DEVELOPMENT_API_KEY_PEPPER = "development only: hashes nothing that matters"

_PLACEHOLDERS = re.compile(
    r"change.?me|your.?secret|example|placeholder|default|development only", re.IGNORECASE
)
_KEY_ENTRY = re.compile(r"^([A-Za-z0-9_-]{1,16}):([A-Za-z0-9+/=]+)$")
_MAKE_RANDOM = "make one with `openssl rand -base64 48`"


def random_secret_fault(value: str) -> str:
    """Fault of a secret that nobody has to remember: 32 or more characters, at least 12 different ones."""
    if not value:
        return f"is missing; {_MAKE_RANDOM}"
    if len(value) < 32:
        return f"is shorter than 32 characters; {_MAKE_RANDOM}"
    if len(set(value)) < 12 or _PLACEHOLDERS.search(value):
        return f"is not random; {_MAKE_RANDOM}"
    return ""


def password_fault(value: str) -> str:
    """Fault of a password between machines: 16 or more characters, at least 8 different ones."""
    if not value:
        return f"is missing; {_MAKE_RANDOM}"
    if len(value) < 16 or len(set(value)) < 8 or _PLACEHOLDERS.search(value):
        return f"is too weak; {_MAKE_RANDOM}"
    return ""


def parse_encryption_keys(text: str) -> dict[str, bytes]:
    """Key id to 32-byte key, current key first. Raises ValueError with what is wrong and the cure."""
    keys: dict[str, bytes] = {}
    cure = "give keyid:KEY with KEY from `openssl rand -base64 32`"
    if not text.strip():
        raise ValueError(f"is missing; {cure}")
    for number, entry in enumerate(text.split(","), start=1):
        match = _KEY_ENTRY.match(entry.strip())
        if match is None:
            raise ValueError(f"entry {number} is not keyid:BASE64; {cure}")
        key_id, encoded = match.groups()
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise ValueError(f"entry {number} is not base64; {cure}") from None
        if len(key) != 32:
            raise ValueError(f"entry {number} is {len(key)} bytes and not 32; {cure}")
        if len(set(key)) < 12:
            raise ValueError(f"entry {number} is not random; {cure}")
        if key_id in keys:
            raise ValueError(f"key id {key_id} appears twice; give each key its own id")
        keys[key_id] = key
    return keys


def encryption_keys_fault(text: str) -> str:
    """Fault of the list of encryption keys."""
    try:
        parse_encryption_keys(text)
    except ValueError as error:
        return str(error)
    return ""
