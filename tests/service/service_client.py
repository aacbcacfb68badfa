"""A caller of the service: plain HTTP, no retries, with the few steps that most tests begin with."""

import itertools
from dataclasses import dataclass, field
from typing import Any

import requests

PASSWORD = "Correct-Horse-7-Staple"
_numbers = itertools.count(1)


@dataclass
class Client:
    """Speaks to one base URL."""

    base: str
    http: requests.Session = field(default_factory=requests.Session)

    def call(
        self, method: str, path: str, credential: str | None = None, **options: Any
    ) -> requests.Response:
        headers = dict(options.pop("headers", {}))
        if credential is not None:
            headers["Authorization"] = f"Bearer {credential}"
        return self.http.request(method, self.base + path, headers=headers, timeout=30, **options)

    def data(
        self, method: str, path: str, credential: str | None = None, *, status: int = 200, **options: Any
    ) -> Any:
        """The ``data`` of an answer that must have this status."""
        answer = self.call(method, path, credential, **options)
        assert answer.status_code == status, answer.text
        assert answer.json()["success"] is True
        return answer.json()["data"]

    def fault(self, method: str, path: str, credential: str | None = None, **options: Any) -> tuple[int, str]:
        """Status and code of an answer that must be an error."""
        answer = self.call(method, path, credential, **options)
        assert answer.json()["success"] is False, answer.text
        return answer.status_code, answer.json()["error"]["code"]

    def register(self) -> "Person":
        email = f"person{next(_numbers)}@example.com"
        body = {"email": email, "password": PASSWORD, "name": "Some Person"}
        made = self.data("POST", "/api/v1/auth/register", json=body, status=201)
        return Person(self, email, made["user"]["id"], made["token"])


@dataclass
class Person:
    """A registered user."""

    client: Client
    email: str
    id: str
    token: str

    def key(self, **changes: Any) -> dict[str, Any]:
        body = {"name": "a key", "environment": "test", "permissions": ["search"]} | changes
        made: dict[str, Any] = self.client.data("POST", "/api/v1/keys", self.token, json=body, status=201)
        return made

    def secret(self, **changes: Any) -> str:
        return str(self.key(**changes)["secretKey"])

    def database(self, body: dict[str, Any]) -> str:
        made = self.client.data("POST", "/api/v1/databases", self.token, json=body, status=201)
        return str(made["id"])
