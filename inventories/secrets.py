"""Where secrets come from: generated once for the sandbox, from files or the environment elsewhere."""

from __future__ import annotations

import base64
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from inventories.schema import Inventory, InventoryError

ENVIRONMENT_PREFIX = "LAUNCHGATE_SECRET_"


def _password() -> str:
    return secrets.token_urlsafe(24)


def _long_random() -> str:
    return secrets.token_urlsafe(48)


def _strong_password() -> str:
    """One with an upper, a lower, a digit and a special character, as the service asks of administrators."""
    return f"Op1!{secrets.token_urlsafe(24)}"


def _encryption_keys() -> str:
    return "k1:" + base64.b64encode(secrets.token_bytes(32)).decode()


# Every secret of a fleet, and how the sandbox makes its own.
SECRETS: dict[str, Callable[[], str]] = {
    "database_password": _password,
    "migrate_database_password": _password,
    "replica_password": _password,
    "redis_password": _password,
    "redis_operator_password": _password,
    "customer_password": _password,
    "operator_password": _strong_password,
    "jwt_secret": _long_random,
    "api_key_pepper": _long_random,
    "encryption_keys": _encryption_keys,
    "ai_api_key": _password,
}


def needed(inventory: Inventory) -> tuple[str, ...]:
    """The names of the secrets that this inventory must have: the AI's key only where there is an AI."""
    return tuple(name for name in SECRETS if name != "ai_api_key" or inventory.settings.ai_base_url)


def read_secret(inventory: Inventory, name: str) -> str:
    """The secret's value, without a final newline.

    Raises InventoryError for an unknown name, a secret that is missing, empty, or readable by others.
    """
    if name not in SECRETS:
        raise InventoryError("secrets", f"unknown secret {name!r}", f"use one of {', '.join(SECRETS)}")
    if inventory.settings.secrets_source == "environment":
        return _from_environment(name)
    if inventory.settings.secrets_source == "directory":
        assert inventory.settings.secrets_dir is not None  # the schema refuses it
        return _from_file(inventory.settings.secrets_dir / name)
    path = inventory.state_dir / "secrets" / name
    if not path.is_file():
        generate(inventory)
    return _from_file(path)


def read_secrets(inventory: Inventory) -> dict[str, str]:
    """All needed secrets; one InventoryError names every one that is missing."""
    values, faults = {}, []
    for name in needed(inventory):
        try:
            values[name] = read_secret(inventory, name)
        except InventoryError as fault:
            faults.append(fault)
    if faults:
        problems = ", ".join(f"{fault.place} {fault.problem}" for fault in faults)
        raise InventoryError(str(inventory.path), f"secrets: {problems}", faults[0].cure)
    return values


def generate(inventory: Inventory) -> None:
    """Makes what is missing of the sandbox's secrets; each file appears whole, readable by its owner only."""
    folder = inventory.state_dir / "secrets"
    with only_one(inventory.state_dir):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, make in SECRETS.items():
            if not (folder / name).is_file():
                write_private(folder / name, make() + "\n")


@contextmanager
def only_one(state_dir: Path) -> Iterator[None]:
    """Holds the state directory's lock, so that two runs never make two different secrets or certificates."""
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state_dir / ".secrets.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read; it is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _from_environment(name: str) -> str:
    variable = ENVIRONMENT_PREFIX + name.upper()
    value = os.environ.get(variable, "").rstrip("\r\n")
    if not value:
        raise InventoryError(variable, "is not set", "export it in the environment of the deploy")
    return value


def _from_file(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        value = path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InventoryError(
            str(path), f"cannot be read ({type(error).__name__})", "put the secret there, mode 0600"
        ) from None
    if stat.S_IMODE(mode) & 0o077:
        raise InventoryError(str(path), "is readable by others", f"chmod 600 {path}")
    if not value:
        raise InventoryError(str(path), "is empty", "put the secret there, mode 0600")
    return value
