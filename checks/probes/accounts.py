"""Throw-away users of the service, made through the API itself and taken away at the end of the run."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest

from checks.gate import CouldNotLook, EdgeDown, EdgeSession, Evidence
from checks.gate.fixtures import RUN
from checks.probes.api import call, expect_success
from inventories.secrets import read_secret

if TYPE_CHECKING:
    from inventories.schema import Inventory

EMAIL_DOMAIN = "checks.example.com"
CUSTOMER_DATABASE = "packages"
CUSTOMER_USER = "searcher"
PAID = "enterprise"


def new_email(purpose: str) -> str:
    """An address that no user has."""
    return f"{purpose}-{secrets.token_hex(8)}@{EMAIL_DOMAIN}"


def new_password() -> str:
    """A password with upper, lower, digit and special characters."""
    return f"Aa1!{secrets.token_urlsafe(18)}"


def customer_database(inventory: Inventory, **changes: Any) -> dict[str, Any]:
    """The body that connects the inventory's customer database over verified TLS. Holds its password."""
    machines = inventory.role("customer")
    if not machines:
        raise CouldNotLook("the inventory has no machine of role customer; there is no corpus to search")
    return {
        "name": "package descriptions",
        "host": machines[0].name,
        "port": 3306,
        "database": CUSTOMER_DATABASE,
        "username": CUSTOMER_USER,
        "password": read_secret(inventory, "customer_password"),
        "ssl": True,
        **changes,
    }


@dataclass
class Tenant:
    """One user: address, password and login token; database connections and keys are made when first asked."""

    edge: EdgeSession
    inventory: Inventory
    email: str
    password: str = field(repr=False)
    user_id: str
    token: str = field(repr=False)
    _key: dict[str, Any] = field(default_factory=dict, repr=False)
    _database: dict[str, Any] = field(default_factory=dict, repr=False)

    def key(self, evidence: Evidence) -> dict[str, Any]:
        """`{apiKey, secretKey}` of a key that may search."""
        if not self._key:
            wish = {"name": "checks", "environment": "test", "permissions": ["search"]}
            made = call(self.edge, "POST", "keys", credential=self.token, body=wish)
            self._key = expect_success(evidence, made, 201)
        return self._key

    def paid_key(self, evidence: Evidence) -> dict[str, Any]:
        """The key once the operator has granted it the highest tier: for checks that ask more than a free key may."""
        made = self.key(evidence)
        if made["apiKey"]["rateLimitTier"] != PAID:
            grant(self.edge, self.inventory, evidence, made["apiKey"]["id"], PAID)
            made["apiKey"]["rateLimitTier"] = PAID
        return made

    def database(self, evidence: Evidence) -> dict[str, Any]:
        """The connection to the customer's database."""
        if not self._database:
            wish = customer_database(self.inventory)
            made = call(self.edge, "POST", "databases", credential=self.token, body=wish)
            self._database = expect_success(evidence, made, 201)
        return self._database

    def leave(self) -> None:
        """Delete the account; where the release cannot, at least its stored credential and its key."""
        gone = call(self.edge, "DELETE", "auth/account", credential=self.token)
        if gone.status < HTTPStatus.BAD_REQUEST:
            return
        if self._database:
            call(self.edge, "DELETE", f"databases/{self._database['id']}", credential=self.token)
        if self._key:
            call(self.edge, "DELETE", f"keys/{self._key['apiKey']['id']}", credential=self.token)
        call(self.edge, "POST", "auth/logout", credential=self.token)


class Tenants:
    """The throw-away users of one run, made on first use: a check that needs none costs none."""

    def __init__(self, open_edge: Callable[[], EdgeSession], inventory: Inventory) -> None:
        self._open_edge = open_edge
        self._inventory = inventory
        self._named: dict[str, Tenant] = {}

    def one(self, evidence: Evidence) -> Tenant:
        """The user that most checks share."""
        return self._get("one", evidence)

    def other(self, evidence: Evidence) -> Tenant:
        """A second user, who must see nothing of the first."""
        return self._get("other", evidence)

    def leave(self) -> None:
        """Take them all away. One that cannot be stays: a random address that nobody can log in with."""
        for tenant in self._named.values():
            try:
                tenant.leave()
            except (EdgeDown, CouldNotLook):
                break
        self._named.clear()

    def _get(self, name: str, evidence: Evidence) -> Tenant:
        if name not in self._named:
            self._named[name] = register(self._open_edge(), self._inventory, evidence, name)
        return self._named[name]


def grant(edge: EdgeSession, inventory: Inventory, evidence: Evidence, key_id: str, tier: str) -> None:
    """Have the operator's account set a key's tier. Raises AssertionError when that fails."""
    wish = {"email": inventory.operator_email, "password": read_secret(inventory, "operator_password")}
    login = expect_success(evidence, call(edge, "POST", "auth/login", body=wish), 200)
    changed = call(edge, "PUT", f"keys/{key_id}", credential=login["token"], body={"rateLimitTier": tier})
    expect_success(evidence, changed, 200)
    call(edge, "POST", "auth/logout", credential=login["token"])


def register(edge: EdgeSession, inventory: Inventory, evidence: Evidence, purpose: str) -> Tenant:
    """Make a user through the API. Raises AssertionError when that fails."""
    email, password = new_email(purpose), new_password()
    wish = {"email": email, "password": password, "name": f"Check {purpose}"}
    data = expect_success(evidence, call(edge, "POST", "auth/register", body=wish), 201)
    return Tenant(edge, inventory, email, password, str(data["user"]["id"]), str(data["token"]))


@pytest.fixture(scope="session")
def tenants(request: pytest.FixtureRequest) -> Iterator[Tenants]:
    """Throw-away users; see Tenants. The edge is opened in the check, so that its absence is the check's finding."""
    run = request.config.stash[RUN]
    made = Tenants(run.fleet.edge, run.options.inventory)
    yield made
    made.leave()
