"""Encryption of the passwords of users' databases: AES-256-GCM, bound to owner and row, with rotatable keys."""

import base64
import binascii
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from search_api.secret_strength import parse_encryption_keys

_NONCE_BYTES = 12


class UnreadableCredentialError(Exception):
    """A stored credential does not decrypt. It is never taken for an empty password."""


class Vault:
    """Encrypts with the first key, decrypts with any. Raises ValueError when the keys are malformed."""

    def __init__(self, keys: str) -> None:
        self._keys = {key_id: AESGCM(key) for key_id, key in parse_encryption_keys(keys).items()}
        self._current = next(iter(self._keys))

    @property
    def current_key_id(self) -> str:
        """The id of the key that encrypts."""
        return self._current

    def encrypt(self, password: str, *, owner: str, row: str) -> str:
        """``keyid:base64(nonce + ciphertext + tag)``."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._keys[self._current].encrypt(nonce, password.encode(), _bound_to(owner, row))
        return f"{self._current}:{base64.b64encode(nonce + sealed).decode()}"

    def decrypt(self, stored: str, *, owner: str, row: str) -> str:
        """The password. Raises UnreadableCredentialError when key, owner, row or bytes are not the ones encrypted."""
        key_id, _, encoded = stored.partition(":")
        if key_id not in self._keys:
            raise UnreadableCredentialError(f"encryption key {key_id!r} is not among the settings' keys")
        try:
            sealed = base64.b64decode(encoded, validate=True)
            opened = self._keys[key_id].decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound_to(owner, row)
            )
        except (binascii.Error, InvalidTag, ValueError):
            raise UnreadableCredentialError("the stored credential does not decrypt") from None
        return opened.decode()


def _bound_to(owner: str, row: str) -> bytes:
    return f"database_connections:{owner}:{row}".encode()
