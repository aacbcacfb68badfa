"""What the settings are and how each was judged, in words that give no secret away."""

from pydantic import SecretStr

from search_api.secret_strength import parse_encryption_keys
from search_api.settings import PREFIX, Settings


def report(settings: Settings) -> str:
    """One line a setting: its value, or that a secret is set, and whether it is the default."""
    return "".join(f"{PREFIX}{name.upper()}: {_words(settings, name)}\n" for name in Settings.model_fields)


def _words(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    if name == "encryption_keys":
        ids = list(parse_encryption_keys(value.get_secret_value()))
        return (
            f"{len(ids)} keys of 32 random bytes, {ids[0]} encrypts"
            if len(ids) > 1
            else "1 key of 32 random bytes"
        )
    if isinstance(value, SecretStr):
        return "secret, set" if value.get_secret_value() else "not set"
    default = " (default)" if value == Settings.model_fields[name].default else ""
    if value is None or value in ((), ""):
        return f"not set{default}"
    shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"{shown}{default}"
