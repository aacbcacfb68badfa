# ruff: noqa: S608 (the tests' own ids in the tests' own statements)
import time
from datetime import timedelta

import pytest
from search_api.clock import now, rfc3339
from search_api.key_format import new_secret_key, stored_hash
from service_client import PASSWORD, Client, Person

KEYS = "/api/v1/keys"
SHOWN = {
    "id", "name", "keyPrefix", "environment", "permissions", "rateLimitTier", "usageCount", "isActive", "createdAt",
    "updatedAt",
}  # fmt: skip


def search(client: Client, credential: str | None, **options):
    return client.fault("POST", "/api/v1/search", credential, json={"query": "nginx"}, **options)


def allowed(client: Client, secret: str) -> bool:
    return client.call("POST", "/api/v1/search", secret, json={"query": "nginx"}).status_code == 200


@pytest.fixture
def admin(person: Person, mariadb) -> Person:
    mariadb.run(f"UPDATE search_api.users SET role = 'admin' WHERE id = '{person.id}'")
    return person


def test_a_key_is_shown_once_and_stored_as_a_hash(client: Client, person: Person, mariadb, make_settings):
    made = person.key(environment="live")
    assert set(made) == {"apiKey", "secretKey", "warning"}
    assert set(made["apiKey"]) == SHOWN
    assert made["secretKey"].startswith(made["apiKey"]["keyPrefix"])
    listed = client.data("GET", KEYS, person.token)
    assert listed["total"] == 1
    assert made["secretKey"] not in str(listed)
    assert client.data("GET", f"{KEYS}/{made['apiKey']['id']}", person.token)["apiKey"] == made["apiKey"]
    row = mariadb.run(f"SELECT * FROM search_api.api_keys WHERE id = '{made['apiKey']['id']}'")[0]
    assert row["key_hash"] == stored_hash(made["secretKey"], make_settings().pepper)
    assert made["secretKey"] not in str(row)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"environment": "prod"}, (400, "INVALID_ENVIRONMENT")),
        ({"permissions": ["root"]}, (400, "INVALID_PERMISSIONS")),
        ({"permissions": []}, (400, "INVALID_PERMISSIONS")),
        ({"rateLimitTier": "gold"}, (400, "INVALID_RATE_LIMIT_TIER")),
        ({"permissions": ["admin"]}, (403, "FORBIDDEN")),
        ({"rateLimitTier": "pro"}, (403, "FORBIDDEN")),
        ({"rateLimitTier": "enterprise"}, (403, "FORBIDDEN")),
        ({"name": "ab"}, (400, "VALIDATION_ERROR")),
        ({"expiresAt": "2001-01-01T00:00:00Z"}, (400, "VALIDATION_ERROR")),
    ],
)
def test_what_a_user_may_not_ask_of_a_key(client: Client, person: Person, change, fault):
    body = {"name": "a key", "environment": "test"} | change
    assert client.fault("POST", KEYS, person.token, json=body) == fault
    key = person.key()["apiKey"]["id"]
    if "environment" not in change:
        assert client.fault("PUT", f"{KEYS}/{key}", person.token, json=change) == fault


def test_an_administrator_grants_more(client: Client, admin: Person):
    made = admin.key(permissions=["admin"], rateLimitTier="enterprise")
    assert (made["apiKey"]["permissions"], made["apiKey"]["rateLimitTier"]) == (["admin"], "enterprise")
    assert allowed(client, made["secretKey"]), "admin carries all permissions"


def test_an_administrator_grants_tiers_to_anybody_and_reads_or_ends_nobodys_key(
    client: Client, admin: Person, other: Person
):
    path = f"{KEYS}/{other.key()['apiKey']['id']}"
    changed = client.data("PUT", path, admin.token, json={"rateLimitTier": "enterprise"})["apiKey"]
    assert changed["rateLimitTier"] == "enterprise"
    assert client.data("GET", path, other.token)["apiKey"]["rateLimitTier"] == "enterprise"
    for method in ("GET", "DELETE"):
        assert client.fault(method, path, admin.token) == (404, "API_KEY_NOT_FOUND")


def test_changes_are_in_force_at_once_although_keys_are_cached(client: Client, person: Person):
    made = person.key(permissions=["search", "analytics"])
    path, secret = f"{KEYS}/{made['apiKey']['id']}", made["secretKey"]
    assert allowed(client, secret)
    assert allowed(client, secret)
    changed = client.data("PUT", path, person.token, json={"name": "renamed", "permissions": ["analytics"]})[
        "apiKey"
    ]
    assert (changed["name"], changed["permissions"]) == ("renamed", ["analytics"])
    assert search(client, secret) == (403, "INSUFFICIENT_PERMISSIONS")
    client.data("PUT", path, person.token, json={"permissions": ["search"]})
    assert allowed(client, secret)
    assert client.data("DELETE", path, person.token) == {"success": True}
    assert search(client, secret) == (401, "INVALID_API_KEY")
    assert client.fault("GET", path, person.token) == (404, "API_KEY_NOT_FOUND")
    assert client.data("GET", KEYS, person.token) == {"apiKeys": [], "total": 0}


def test_an_expired_key_says_so_and_its_end_can_be_moved(client: Client, person: Person, mariadb):
    soon = rfc3339(now() + timedelta(hours=1))
    made = person.key(expiresAt=soon)
    assert made["apiKey"]["expiresAt"] == soon
    mariadb.run(
        f"UPDATE search_api.api_keys SET expires_at = '2020-01-01' WHERE id = '{made['apiKey']['id']}'"
    )
    assert search(client, made["secretKey"]) == (401, "EXPIRED_API_KEY")
    path = f"{KEYS}/{made['apiKey']['id']}"
    assert "expiresAt" not in client.data("PUT", path, person.token, json={"expiresAt": None})["apiKey"]
    assert allowed(client, made["secretKey"])


def test_both_headers_take_a_key(client: Client, person: Person):
    answer = client.call(
        "POST", "/api/v1/search", headers={"X-API-Key": person.secret()}, json={"query": "nginx"}
    )
    assert answer.status_code == 200
    assert answer.json()["meta"]["apiKeyTier"] == "free"


def test_wrong_keys_are_named(client: Client, person: Person):
    assert search(client, None) == (401, "NO_API_KEY")
    assert search(client, None, headers={"Authorization": "Basic x"}) == (401, "INVALID_AUTH_FORMAT")
    assert search(client, person.token) == (401, "INVALID_API_KEY_FORMAT")
    assert search(client, new_secret_key("live")) == (401, "INVALID_API_KEY")


def statements(client: Client) -> float:
    lines = client.call("GET", "/metrics").text.splitlines()
    return sum(
        float(line.split()[-1])
        for line in lines
        if line.startswith(("sql_statements_total{", "redis_commands_total{"))
    )


def settled(client: Client) -> float:
    """The statements once the writers in the background have written what earlier tests left them."""
    deadline = time.monotonic() + 20
    seen = statements(client)
    while time.monotonic() < deadline:
        time.sleep(1.5)
        seen, before = statements(client), seen
        if seen == before:
            break
    return seen


def test_a_malformed_key_is_refused_before_any_lookup(client: Client, person: Person):
    before = statements(client)
    secret = person.secret()
    changed = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    between = settled(client)
    assert between > before, "the counters count"
    assert search(client, changed) == (401, "INVALID_API_KEY_FORMAT")
    assert statements(client) == between


def test_authentication_comes_before_the_judgement_of_the_body(client: Client):
    assert client.fault("POST", "/api/v1/search", json={"nonsense": 1}) == (401, "NO_API_KEY")


def test_usage_comes_from_real_counters(client: Client, person: Person):
    made = person.key()
    for _ in range(3):
        assert allowed(client, made["secretKey"])
    path = f"{KEYS}/{made['apiKey']['id']}"
    read = client.data("GET", f"{path}/usage?days=7", person.token)
    assert (
        read["usage"]["requestCount"]
        == read["totalRequests"]
        == read["requestsThisMonth"]
        == read["quotaUsed"]
        == 3
    )
    assert read["usage"]["rateLimitStatus"]["tier"] == "free"
    assert read["usage"]["rateLimitStatus"]["remaining"] == 997
    key = client.data("GET", path, person.token)["apiKey"]
    assert (key["usageCount"], key["lastUsedIp"]) == (3, "127.0.0.1")
    assert key["lastUsed"] == read["lastUsed"]
    for _ in range(2):
        assert allowed(client, made["secretKey"])
    answer = client.call("POST", "/api/v1/search", made["secretKey"], json={"query": "nginx"})
    again = client.data("GET", f"{path}/usage", person.token)
    remaining = again["usage"]["rateLimitStatus"]["remaining"]
    assert str(remaining) == answer.headers["x-ratelimit-remaining"]
    assert again["quotaUsed"] == again["totalRequests"] == again["quotaLimit"] - remaining == 6
    assert client.fault("GET", f"{path}/usage?days=0", person.token) == (400, "VALIDATION_ERROR")


def regenerate(client: Client, person: Person, key_id: str, **body):
    return client.data("POST", f"{KEYS}/{key_id}/regenerate", person.token, json=body)


def test_a_regenerated_key_inherits_and_the_old_one_dies_at_once(client: Client, admin: Person):
    end = rfc3339(now() + timedelta(days=3))
    wanted = {"name": "worth keeping", "permissions": ["search", "analytics"], "rateLimitTier": "pro"}
    old = admin.key(**wanted, environment="test", expiresAt=end)
    assert allowed(client, old["secretKey"])
    made = regenerate(client, admin, old["apiKey"]["id"])
    assert set(made) == {"apiKey", "secretKey", "warning", "oldKeyId"}
    assert made["oldKeyId"] == old["apiKey"]["id"] != made["apiKey"]["id"]
    assert {name: made["apiKey"][name] for name in wanted} == wanted
    assert (made["apiKey"]["expiresAt"], made["apiKey"]["environment"]) == (end, "test")
    assert made["secretKey"] != old["secretKey"]
    assert allowed(client, made["secretKey"])
    assert search(client, old["secretKey"]) == (401, "INVALID_API_KEY")
    assert client.data("GET", KEYS, admin.token)["total"] == 1


def test_grace_never_extends_the_old_key(client: Client, person: Person):
    soon = rfc3339(now() + timedelta(hours=1))
    short, long = person.key(expiresAt=soon), person.key()
    new = regenerate(client, person, short["apiKey"]["id"], graceSeconds=86_400)
    assert new["apiKey"]["expiresAt"] == soon
    path = f"{KEYS}/{short['apiKey']['id']}"
    assert client.data("GET", path, person.token)["apiKey"]["expiresAt"] == soon
    brief = regenerate(client, person, long["apiKey"]["id"], graceSeconds=2)
    assert "expiresAt" not in brief["apiKey"]
    assert allowed(client, long["secretKey"])
    time.sleep(2.1)
    assert search(client, long["secretKey"]) == (401, "EXPIRED_API_KEY")
    assert allowed(client, brief["secretKey"])
    again = client.fault("POST", f"{KEYS}/{long['apiKey']['id']}/regenerate", person.token)
    assert again == (409, "RESOURCE_CONFLICT")


@pytest.mark.parametrize("grace", [-1, 2_592_001, "soon"])
def test_a_grace_out_of_range_is_a_400(client: Client, person: Person, grace):
    path = f"{KEYS}/{person.key()['apiKey']['id']}/regenerate"
    assert client.fault("POST", path, person.token, json={"graceSeconds": grace}) == (400, "VALIDATION_ERROR")


def test_nobody_regenerates_anothers_key(client: Client, person: Person, other: Person):
    made = person.key()
    path = f"{KEYS}/{made['apiKey']['id']}/regenerate"
    assert client.fault("POST", path, other.token) == (404, "API_KEY_NOT_FOUND")
    assert allowed(client, made["secretKey"])


def test_a_live_key_works_in_production_only(client: Client, person: Person, serve):
    secret = person.secret(environment="live")
    assert search(client, secret) == (403, "ENVIRONMENT_MISMATCH")
    with serve(environment="development") as development:
        assert search(development, secret) == (403, "ENVIRONMENT_MISMATCH")
    strong = {"redis_password": "", "password_memory_kib": 19_456, "password_time_cost": 2}
    with serve(environment="staging", **(strong | {"redis_password": "unused-But-Strong-7x"})) as staging:
        assert allowed(staging, secret)
        assert allowed(staging, person.secret()), "a test key works everywhere"


def test_a_key_dies_with_nothing_but_itself(client: Client, person: Person):
    first, second = person.key(), person.secret()
    client.data("DELETE", f"{KEYS}/{first['apiKey']['id']}", person.token)
    assert allowed(client, second)
    body = {"email": person.email, "password": PASSWORD}
    assert client.data("POST", "/api/v1/auth/login", json=body)["user"]["id"] == person.id
