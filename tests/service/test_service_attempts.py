"""Limits by address and by user."""

import time
from contextlib import AbstractContextManager

import pytest
from conftest import ServeApp
from search_api.key_format import new_secret_key
from service_client import PASSWORD, Client, Person
from test_service_limits import SEARCH, away_from_the_end_of, statements

KEYS = "/api/v1/keys"


@pytest.fixture
def strict(client: Client, serve: ServeApp) -> AbstractContextManager[Client]:
    """The application with the real limits by address; callers name theirs, as behind a proxy."""
    assert client.call("GET", "/health/ready").status_code == 200
    away_from_the_end_of(3600, 30)
    return serve(limit_exempt_networks="", trusted_proxies="127.0.0.1/32")


def from_(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


def address_of(request: pytest.FixtureRequest, number: int) -> str:
    """Of its own for each test and run, so that nothing is left over from another."""
    return f"198.51.{hash(request.node.name) % 250}.{(int(time.time()) + number) % 250}"


def test_five_accounts_an_hour_from_one_address(strict, request):
    mine, another = address_of(request, 0), address_of(request, 1)

    def register(app: Client, number: int, address: str):
        body = {"email": f"many{number}-{time.time_ns()}@example.com", "password": PASSWORD, "name": "Many"}
        return app.call("POST", "/api/v1/auth/register", json=body, headers=from_(address))

    with strict as app:
        answers = [register(app, number, mine) for number in range(7)]
        assert [answer.status_code for answer in answers] == [201] * 5 + [429] * 2
        assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == [
            "4",
            "3",
            "2",
            "1",
            "0",
            "0",
            "0",
        ]
        assert answers[0].headers["ratelimit-policy"] == '"register";q=5;w=3600'
        error = answers[5].json()["error"]
        assert error["code"] == "RATE_LIMIT_EXCEEDED"
        assert error["details"]["limit"] == 5
        assert 0 < int(answers[5].headers["retry-after"]) <= 3600
        assert register(app, 8, another).status_code == 201


def test_ten_logins_an_hour_from_one_address(strict, person: Person, request):
    mine = from_(address_of(request, 0))
    body = {"email": person.email, "password": PASSWORD}
    with strict as app:
        found = [
            app.call("POST", "/api/v1/auth/login", json=body, headers=mine).status_code for _ in range(12)
        ]
        assert found == [200] * 10 + [429] * 2


def test_addresses_of_ipv6_count_by_their_network(strict, person: Person):
    body = {"email": person.email, "password": PASSWORD}
    network = f"2001:db8:{time.time_ns() % 65535:x}:{time.time_ns() // 65535 % 65535:x}"
    with strict as app:
        found = [
            app.call(
                "POST", "/api/v1/auth/login", json=body, headers=from_(f"{network}::{number:x}")
            ).status_code
            for number in range(12)
        ]
    assert found == [200] * 10 + [429] * 2


def test_thirty_failed_authentications_a_minute_then_nothing_is_looked_at(strict, person: Person, request):
    away_from_the_end_of(60, 8)
    mine, another = from_(address_of(request, 0)), from_(address_of(request, 1))
    secret = person.secret()

    def search(app: Client, text: str, headers: dict[str, str]) -> int:
        return app.call("POST", SEARCH, text, json={"query": "x"}, headers=headers).status_code

    with strict as app:
        assert search(app, secret, mine) == 200
        assert [search(app, new_secret_key("test"), mine) for _ in range(10)] == [401] * 10
        assert [search(app, "lg_sk_test_wrong", mine) for _ in range(10)] == [401] * 10
        profile = [
            app.call("GET", "/api/v1/auth/profile", person.token + "x", headers=mine).status_code
            for _ in range(10)
        ]
        assert profile == [401] * 10
        before = statements(app)
        assert search(app, new_secret_key("test"), mine) == 429
        assert search(app, "lg_sk_test_wrong", mine) == 429
        assert search(app, secret, mine) == 429
        refused = app.call("GET", "/api/v1/auth/profile", person.token, headers=mine)
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert statements(app) == before
        assert search(app, secret, another) == 200
        assert app.call("GET", "/api/v1/auth/profile", person.token, headers=another).status_code == 200


def test_without_redis_addresses_have_the_workers_share(serve: ServeApp, person: Person, request):
    mine = from_(address_of(request, 0))
    body = {"email": person.email, "password": PASSWORD}
    away = {"redis_port": 1, "limit_exempt_networks": "", "trusted_proxies": "127.0.0.1/32"}
    with serve(**away, limit_share_divisor=2) as app:
        answers = [app.call("POST", "/api/v1/auth/login", json=body, headers=mine) for _ in range(7)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
        assert {answer.headers["ratelimit-degraded"] for answer in answers} == {"redis_unavailable"}
        wrong = [
            app.call("POST", SEARCH, new_secret_key("test"), json={"query": "x"}, headers=mine).status_code
            for _ in range(16)
        ]
        assert wrong == [401] * 15 + [429]
        assert app.call("POST", SEARCH, person.secret(), json={"query": "x"}, headers=mine).status_code == 429


def test_the_operators_probes_are_exempt(serve: ServeApp, person: Person):
    body = {"email": person.email, "password": PASSWORD}
    with serve(limit_exempt_networks="203.0.113.0/24", trusted_proxies="127.0.0.1/32") as app:
        for number in range(12):
            headers = from_(f"203.0.113.{number}")
            assert app.call("POST", "/api/v1/auth/login", json=body, headers=headers).status_code == 200
        assert (
            "x-ratelimit-limit"
            not in app.call("POST", "/api/v1/auth/login", json=body, headers=headers).headers
        )


def test_twenty_new_keys_and_five_regenerations_an_hour(client: Client, person: Person):
    away_from_the_end_of(3600, 20)
    body = {"name": "a key", "environment": "test"}
    made = [client.call("POST", KEYS, person.token, json=body) for _ in range(21)]
    assert [answer.status_code for answer in made] == [201] * 20 + [429]
    assert made[0].headers["x-ratelimit-remaining"] == "19"
    key = made[0].json()["data"]["apiKey"]["id"]
    statuses = []
    for _ in range(6):
        answer = client.call("POST", f"{KEYS}/{key}/regenerate", person.token, json={})
        statuses.append(answer.status_code)
        if answer.status_code == 200:
            key = answer.json()["data"]["apiKey"]["id"]
    assert statuses == [200] * 5 + [429]
