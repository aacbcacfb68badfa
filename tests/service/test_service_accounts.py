# ruff: noqa: S608 (the tests' own ids in the tests' own statements)
"""The end of an account, the first key, and what is said about the service."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import MakeSettings, ServeApp
from search_api.app import create_app
from search_api.cache import Cache
from search_api.owned_connections import state_of
from service_client import PASSWORD, Client, Person
from service_processes import free_port, serving

ACCOUNT = "/api/v1/auth/account"
SETUP = "/api/v1/management/setup"


def test_an_ended_account_is_dead_at_once_in_every_worker(
    client: Client, serve: ServeApp, person, shop, mariadb, make_settings: MakeSettings
):
    secret, row = person.secret(), person.database(shop)
    cache = Cache(make_settings())
    connections = state_of(cache, person.id)
    with serve() as second_worker:
        for worker in (client, second_worker):
            worker.data("POST", "/api/v1/search", secret, json={"query": "nginx"})
        assert client.data("DELETE", ACCOUNT, person.token) == {"success": True}
        assert connections not in ("", state_of(cache, person.id)), (
            "no worker goes on with what it kept of them"
        )
        for worker in (second_worker, client):
            assert worker.fault("POST", "/api/v1/search", secret, json={"query": "nginx"}) == (
                401,
                "INVALID_API_KEY",
            )
            for method, path in (
                ("GET", "/auth/profile"),
                ("POST", "/auth/refresh"),
                ("DELETE", "/auth/account"),
            ):
                assert worker.fault(method, f"/api/v1{path}", person.token) == (401, "INVALID_TOKEN")
    body = {"email": person.email, "password": PASSWORD}
    assert client.fault("POST", "/api/v1/auth/login", json=body) == (401, "AUTHENTICATION_FAILED")
    stored = mariadb.run(f"SELECT * FROM search_api.database_connections WHERE id = '{row}'")[0]
    assert (stored["is_active"], stored["sealed_password"]) == (0, None)
    user = mariadb.run(f"SELECT * FROM search_api.users WHERE id = '{person.id}'")[0]
    assert (user["is_active"], user["password_hash"]) == (0, "")
    assert person.email not in str(user)
    keys = mariadb.run(f"SELECT is_active FROM search_api.api_keys WHERE user_id = '{person.id}'")
    assert keys == [{"is_active": 0}]


def test_the_address_of_an_ended_account_is_free_and_brings_nothing_back(
    client: Client, person: Person, shop
):
    person.database(shop)
    client.data("DELETE", ACCOUNT, person.token)
    body = {"email": person.email, "password": PASSWORD, "name": "Another One"}
    again = client.data("POST", "/api/v1/auth/register", json=body, status=201)
    assert again["user"]["id"] != person.id
    assert again["user"]["connectedDatabases"] == []
    assert client.data("GET", "/api/v1/keys", again["token"]) == {"apiKeys": [], "total": 0}


@pytest.mark.parametrize("path", [SETUP, f"{SETUP}-initial-api-key"])
def test_setup_makes_the_first_key_and_no_second(client: Client, person: Person, path):
    before = client.data("GET", "/api/v1/management/migration-status", person.token)
    assert set(before) == {"userId", "hasMigrated", "recommendedAction", "documentation"}
    assert (before["userId"], before["hasMigrated"]) == (person.id, False)
    made = client.data("POST", path, person.token, status=201)
    assert set(made) == {"apiKey", "secretKey", "warning"}
    key = made["apiKey"]
    assert (key["environment"], key["rateLimitTier"], key["permissions"]) == ("test", "free", ["search"])
    assert client.data("POST", "/api/v1/search", made["secretKey"], json={"query": "x y"})["totalCount"] == 0
    assert client.fault("POST", path, person.token) == (409, "RESOURCE_CONFLICT")
    assert client.data("GET", "/api/v1/management/migration-status", person.token)["hasMigrated"] is True


def test_setups_at_once_make_one_key(client: Client, person: Person):
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: client.call("POST", SETUP, person.token).status_code, range(8)))
    assert sorted(statuses) == [201] + [409] * 7


def test_status_is_public_and_says_no_more_than_the_contract(client: Client):
    data = client.data("GET", "/api/v1/status")
    assert set(data) == {"status", "timestamp", "services", "uptime", "version"}
    assert data["status"] == "healthy"
    assert {part["name"] for part in data["services"]} >= {"database", "cache"}
    for part in data["services"]:
        assert (
            {"name", "status", "responseTime"} <= set(part) <= {"name", "status", "responseTime", "message"}
        )


def test_detailed_health_is_for_an_administrators_key(client: Client, person: Person, mariadb):
    assert client.fault("GET", "/health/detailed") == (401, "NO_API_KEY")
    assert client.fault("GET", "/health/detailed", person.secret()) == (403, "INSUFFICIENT_PERMISSIONS")
    mariadb.run(f"UPDATE search_api.users SET role = 'admin' WHERE id = '{person.id}'")
    answer = client.call("GET", "/health/detailed", person.secret(permissions=["admin"]))
    parts = answer.json()["parts"]
    assert answer.json()["status"] == "healthy"
    for part in parts.values():
        assert set(part) == {"status", "responseTime", "detail"}
    assert set(parts["database"]["detail"]["pool"]) == {"size", "inUse", "idle"}
    assert set(parts["customer_databases"]["detail"]["pool"]) == {"databases", "inUse"}
    assert parts["ai"]["detail"] == {"configured": False}


@pytest.mark.usefixtures("client")
def test_status_names_the_part_that_fails(serve: ServeApp):
    with serve(redis_port=free_port(), redis_timeout=0.2) as served:
        data = served.data("GET", "/api/v1/status")
        states = {part["name"]: part["status"] for part in data["services"]}
        assert (data["status"], states["cache"], states["database"]) == ("degraded", "degraded", "healthy")
    with serve(database_port=free_port(), connect_timeout=0.5, pool_timeout=1) as served:
        data = served.data("GET", "/api/v1/status")
        states = {part["name"]: part["status"] for part in data["services"]}
        assert (data["status"], states["database"], states["cache"]) == ("unhealthy", "unhealthy", "healthy")
        assert "127.0.0.1" not in str(data)


def test_metrics_are_for_the_scrape_network_only(make_settings: MakeSettings):
    app = create_app(make_settings(metrics_networks="192.0.2.0/28", trusted_proxies="127.0.0.1/32"))
    with serving(app) as base:
        client = Client(base)
        scraper = client.call("GET", "/metrics", headers={"X-Forwarded-For": "192.0.2.7"})
        assert (scraper.status_code, scraper.headers["content-type"].partition(";")[0]) == (200, "text/plain")
        for address in ("192.0.2.17", "203.0.113.5, 192.0.2.17", "192.0.2.7, 203.0.113.5"):
            fault = client.fault("GET", "/metrics", headers={"X-Forwarded-For": address})
            assert fault == (403, "FORBIDDEN")
        assert client.fault("GET", "/metrics") == (403, "FORBIDDEN")


def test_the_default_scrape_network_is_the_private_ranges(make_settings: MakeSettings):
    app = create_app(make_settings(trusted_proxies="127.0.0.1/32"))
    with serving(app) as base:
        client = Client(base)
        for address, status in (
            ("10.20.30.40", 200),
            ("fd00::1", 200),
            ("203.0.113.9", 403),
            ("2606:4700::1", 403),
        ):
            answer = client.call("GET", "/metrics", headers={"X-Forwarded-For": address})
            assert answer.status_code == status, address


def test_head_is_get_without_its_body_and_a_trailing_slash_is_another_path(client: Client, person: Person):
    for path in ("/health", "/api/v1/status", "/api/v1/docs"):
        got, head = client.call("GET", path), client.call("HEAD", path)
        assert (head.status_code, head.content, head.headers["content-type"]) == (
            got.status_code, b"", got.headers["content-type"],
        )  # fmt: skip
    assert client.call("HEAD", "/api/v1/auth/profile").status_code == 401
    assert client.call("HEAD", "/api/v1/auth/login").status_code == 405
    assert client.fault("OPTIONS", "/api/v1/auth/login") == (405, "METHOD_NOT_ALLOWED")
    answer = client.call("GET", "/api/v1/keys/", person.token, allow_redirects=False)
    assert answer.status_code == 404


def test_a_refused_preflight_is_in_the_envelope(client: Client):
    asked = {"Origin": "https://evil.example.com", "Access-Control-Request-Method": "POST"}
    assert client.fault("OPTIONS", "/api/v1/search", headers=asked) == (403, "FORBIDDEN")


@pytest.mark.parametrize("wrong", ["é" * 36, "\U0001f4a9", "x" * 500, "%00", "a%0Ab"])
def test_an_id_that_cannot_be_one_is_a_wrong_id(client: Client, person: Person, wrong):
    for path, code in (("keys", "API_KEY_NOT_FOUND"), ("databases", "CONNECTION_NOT_FOUND")):
        assert client.fault("GET", f"/api/v1/{path}/{wrong}", person.token) == (404, code)


def test_a_name_of_blanks_and_an_end_beyond_time_are_refused(client: Client, person: Person):
    body = {"email": "blank@example.com", "password": PASSWORD, "name": "    "}
    assert client.fault("POST", "/api/v1/auth/register", json=body) == (400, "VALIDATION_ERROR")
    body = {"name": "for ever", "environment": "test", "expiresAt": "9999-12-31T23:59:59-14:00"}
    assert client.fault("POST", "/api/v1/keys", person.token, json=body) == (400, "VALIDATION_ERROR")
