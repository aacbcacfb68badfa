"""The requests of the mix: what each sends and how its answer is told from a wrong one."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from loadtests import corpus

PREFIX = "/api/v1"


@dataclass(frozen=True)
class Account:
    """A user of the service made for load: a token, an API key and one database."""

    email: str
    password: str = field(repr=False)
    token: str = field(repr=False)
    key: str = field(repr=False)
    database: str


@dataclass(frozen=True)
class Call:
    """One request, ready to send."""

    endpoint: str
    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


_Maker = Callable[[str, Account, random.Random], Call]


def call(endpoint: str, account: Account, rng: random.Random) -> Call:
    """The request of an endpoint of the mix for one account. Raises KeyError for an endpoint that is not known."""
    return _MAKERS[endpoint](endpoint, account, rng)


def known_endpoints() -> tuple[str, ...]:
    """What a mix may name."""
    return tuple(_MAKERS)


def wrong(status: int, body: bytes) -> str | None:
    """Why an answer is an error, or None. A 200 that does not carry a whole answer is one too."""
    if not 200 <= status < 300:
        return f"http_{status}"
    # Every answer of the contract is one JSON object; parsing each would cost the generator more than it tells.
    return None if body.startswith(b"{") and body.rstrip().endswith(b"}") else "garbled"


def sequence(mix: Mapping[str, int], rng: random.Random) -> Iterator[str]:
    """Endless endpoints in the proportions of the mix.

    Each block of sum(weights) requests has exactly its share of each, in random order, and the first block
    starts with one
    of each: so short runs measure every endpoint, and two runs of a length ask for the same work.
    """
    block = [endpoint for endpoint, weight in mix.items() for _ in range(weight)]
    first = list(mix)
    rest = list(block)
    for endpoint in first:
        rest.remove(endpoint)
    rng.shuffle(first)
    rng.shuffle(rest)
    yield from (*first, *rest)
    while True:
        rng.shuffle(block)
        yield from block


def _bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}", "Accept": "application/json"}


def _read(path: str) -> _Maker:
    def make(endpoint: str, account: Account, rng: random.Random) -> Call:
        del rng
        return Call(endpoint, "GET", path, _bearer(account.token))

    return make


def _health(endpoint: str, account: Account, rng: random.Random) -> Call:
    del account, rng
    return Call(endpoint, "GET", "/health", {"Accept": "application/json"})


def _search(endpoint: str, account: Account, rng: random.Random) -> Call:
    body = {"query": corpus.query(rng), "databases": [account.database], "searchMode": "natural", "limit": 20}
    return _posted(endpoint, f"{PREFIX}/search", body, _bearer(account.key))


def _login(endpoint: str, account: Account, rng: random.Random) -> Call:
    del rng
    body = {"email": account.email, "password": account.password}
    return _posted(endpoint, f"{PREFIX}/auth/login", body, {"Accept": "application/json"})


def _posted(endpoint: str, path: str, body: Mapping[str, object], headers: dict[str, str]) -> Call:
    return Call(
        endpoint,
        "POST",
        path,
        headers | {"Content-Type": "application/json"},
        json.dumps(body).encode("utf-8"),
    )


_MAKERS: dict[str, _Maker] = {
    "search": _search,
    "keys_list": _read(f"{PREFIX}/keys"),
    "databases_list": _read(f"{PREFIX}/databases"),
    "profile": _read(f"{PREFIX}/auth/profile"),
    "health": _health,
    "login": _login,
}
