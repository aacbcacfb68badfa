"""API keys as text: ``lg_sk_{test|live}_`` + 40 random base62 characters + 6 base62 characters of CRC32."""

import hmac
import re
import secrets
import string
import zlib

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_FORM = re.compile(r"^(lg_sk_(?:test|live)_[0-9A-Za-z]{32,64})([0-9A-Za-z]{6})$")
_RANDOM_LENGTH = 40
_SHOWN_LENGTH = 16
LIVE_PREFIX = "lg_sk_live_"


def new_secret_key(environment: str) -> str:
    """A new key for ``test`` or ``live``."""
    body = f"lg_sk_{environment}_" + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LENGTH))
    return body + _checksum(body)


def is_well_formed(text: str) -> bool:
    """Whether the form and the checksum are right: a typing error is refused without looking anything up."""
    match = _FORM.fullmatch(text) if len(text) <= 128 else None
    return match is not None and hmac.compare_digest(_checksum(match[1]), match[2])


def shown_prefix(secret_key: str) -> str:
    """The part of a key that may be shown, to tell keys apart."""
    return secret_key[:_SHOWN_LENGTH]


def stored_hash(secret_key: str, pepper: bytes) -> str:
    """What is stored instead of the key: HMAC-SHA256 under the pepper, in hexadecimal."""
    return hmac.digest(pepper, secret_key.encode(), "sha256").hex()


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits
