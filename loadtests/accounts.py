"""Users, databases and keys for load, made through the service's own API and kept for the next run.

The service limits registrations and logins per address, so what was made is used again as long as it works:
accounts are kept in the inventory's state directory, readable by its owner only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import requests

from inventories.schema import Inventory, InventoryError
from inventories.secrets import read_secret
from loadtests import target
from loadtests.operations import PREFIX, Account
from loadtests.target import Target

SEARCHED_DATABASE = "packages"
SEARCHED_USER = "searcher"
TIMEOUT = 15.0


class AccountsError(Exception):
    """Accounts could not be prepared; the message says what was asked, what came back, and the cure."""


@dataclass(frozen=True)
class CustomerDatabase:
    """The database that searches go to, as a user of the service would type it in."""

    host: str
    port: int
    database: str
    username: str
    password: str = field(repr=False)
    tls: bool


def customer_database(inventory: Inventory) -> CustomerDatabase:
    """The customer machine's database from the inventory. Raises AccountsError when there is none."""
    machines = inventory.role("customer")
    if not machines:
        raise AccountsError(
            f"{inventory.path}: no machine in group 'customer'; name one, searches need a database to search"
        )
    try:
        password = read_secret(inventory, "customer_password")
    except InventoryError as error:
        raise AccountsError(str(error)) from error
    # By name, as its certificate has it; the app machines know the fleet's names.
    return CustomerDatabase(machines[0].name, 3306, SEARCHED_DATABASE, SEARCHED_USER, password, tls=True)


def prepare(inventory: Inventory, through: Target, count: int) -> list[Account]:
    """`count` working accounts: kept ones where they still work, new ones otherwise.

    Raises AccountsError, TargetError.
    """
    file = inventory.state_dir / "load" / "accounts.json"
    with target.session(through) as session, _locked(file):
        api = _Api(session, through.url)
        kept = _kept(file)
        working = [_working(api, account, inventory) for account in kept[:count]]
        accounts = [account for account in working if account is not None]
        while len(accounts) < count:
            accounts.append(_made(api, inventory))
            _keep(file, accounts)
        _keep(file, [*accounts, *kept[count:]])
    return accounts


class _Api:
    """The few calls that preparation makes."""

    def __init__(self, session: requests.Session, url: str) -> None:
        self._session, self._url = session, url
        self.operator: str | None = None

    def ask(self, method: str, path: str, bearer: str | None = None, body: object = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        try:
            answer = self._session.request(
                method,
                f"{self._url}{PREFIX}{path}",
                json=body,
                headers=headers,
                timeout=TIMEOUT,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise AccountsError(
                f"{self._url}: {method} {path} got no answer ({error}); is the service deployed and up?"
            ) from error
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, None

    def data(self, method: str, path: str, bearer: str | None = None, body: object = None) -> Any:
        """`data` of a success. Raises AccountsError for any other answer."""
        status, answer = self.ask(method, path, bearer, body)
        if 200 <= status < 300 and isinstance(answer, dict) and "data" in answer:
            return answer["data"]
        error = (answer.get("error") if isinstance(answer, dict) else None) or {}
        told = f"{error.get('code', '')} {error.get('message', '')}".strip()
        raise AccountsError(
            f"{self._url}: {method} {path} answered {status} {told}; load cannot be prepared, see the service's log"
        )


def _made(api: _Api, inventory: Inventory) -> Account:
    """Register, add the database, make a key: what a new user does."""
    name = secrets.token_hex(6)
    email, password = f"load-{name}@example.com", f"Lg1!{secrets.token_urlsafe(18)}"
    token = api.data(
        "POST", "/auth/register", body={"email": email, "password": password, "name": f"Load {name}"}
    )["token"]
    key = _new_key(api, token, inventory)
    return Account(email, password, token, key, _new_database(api, token, inventory))


def _new_key(api: _Api, token: str, inventory: Inventory) -> str:
    """A key of the highest tier: what a free one may do in an hour, load does in half a minute."""
    body = {"name": "load test", "environment": "live", "permissions": ["search"]}
    made = api.data("POST", "/keys", token, body)
    granted = {"rateLimitTier": "enterprise"}
    api.data("PUT", f"/keys/{made['apiKey']['id']}", _operator_token(api, inventory), granted)
    return str(made["secretKey"])


def _operator_token(api: _Api, inventory: Inventory) -> str:
    """The administrator's login, as the deploy made that account; kept within this run."""
    if api.operator is None:
        try:
            password = read_secret(inventory, "operator_password")
        except InventoryError as error:
            raise AccountsError(str(error)) from error
        body = {"email": inventory.operator_email, "password": password}
        api.operator = str(api.data("POST", "/auth/login", body=body)["token"])
    return api.operator


def _new_database(api: _Api, token: str, inventory: Inventory) -> str:
    database = customer_database(inventory)
    body = asdict(database) | {"name": "packages", "ssl": database.tls}
    del body["tls"]
    return str(api.data("POST", "/databases", token, body)["id"])


def _working(api: _Api, account: Account, inventory: Inventory) -> Account | None:
    """The account with whatever no longer worked made anew; None when the service does not know it any more."""
    token = account.token
    status, answer = api.ask("GET", "/databases", token)
    if status == 401:
        status, answer = api.ask(
            "POST", "/auth/login", body={"email": account.email, "password": account.password}
        )
        if status == 401:
            return None
        if status != 200:
            raise AccountsError(
                f"login of a kept load account answered {status}; wait for its limit, or see the service's log"
            )
        token = str(answer["data"]["token"])
        status, answer = api.ask("GET", "/databases", token)
    if status != 200:
        raise AccountsError(
            f"GET /databases answered {status}; load cannot be prepared, see the service's log"
        )
    listed = {str(found["id"]) for found in _items(answer["data"])}
    database = account.database if account.database in listed else _new_database(api, token, inventory)
    body = {"query": "library", "databases": [database], "limit": 1}
    status, _ = api.ask("POST", "/search", account.key, body)
    key = account.key if status != 401 else _new_key(api, token, inventory)
    return Account(account.email, account.password, token, key, database)


def _items(data: Any) -> list[dict[str, Any]]:
    """The list in an answer, bare or under its name."""
    if isinstance(data, dict):
        data = next((value for value in data.values() if isinstance(value, list)), [])
    return list(data)


def _kept(file: Path) -> list[Account]:
    try:
        return [Account(**entry) for entry in json.loads(file.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError) as error:
        raise AccountsError(
            f"{file}: not a list of accounts ({error}); delete the file, new ones are made"
        ) from error


def _keep(file: Path, accounts: list[Account]) -> None:
    new = file.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
        json.dump([asdict(account) for account in accounts], opened, indent=1)
    new.replace(file)


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """One preparation at a time: load and prober may start together."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
