import os
import subprocess
import sys

import pytest
from conftest import MakeSettings, ServeApp
from search_api import migrate
from search_api.database import SCHEMA_NUMBER
from search_api.version import __version__
from service_client import Client, Person
from service_processes import free_port, redis_server


@pytest.mark.parametrize("path", ["/health", "/health/live"])
def test_alive(client: Client, path):
    body = client.call("GET", path).json()
    assert set(body) == {"status", "timestamp", "version", "uptime"}
    assert (body["status"], body["version"]) == ("healthy", __version__)


def test_management_health_is_in_the_envelope(client: Client):
    data = client.data("GET", "/api/v1/management/health")
    assert set(data) == {"status", "timestamp", "version", "uptime", "authenticationMethods"}


def test_ready(client: Client):
    answer = client.call("GET", "/health/ready")
    assert (answer.status_code, answer.json()["status"], answer.json()["degraded"]) == (200, "ready", [])


@pytest.mark.usefixtures("client")
def test_a_draining_instance_is_not_ready(serve: ServeApp, tmp_path):
    drain = tmp_path / "draining"
    with serve(drain_file=drain) as served:
        assert served.call("GET", "/health/ready").status_code == 200
        drain.touch()
        answer = served.call("GET", "/health/ready")
        assert (answer.status_code, set(answer.json()["failing"])) == (503, {"draining"})
        assert served.call("GET", "/health/live").status_code == 200
        drain.unlink()
        assert served.call("GET", "/health/ready").status_code == 200


def test_without_mysql_not_ready_and_every_call_says_503(serve: ServeApp):
    with serve(database_port=free_port(), connect_timeout=0.5, pool_timeout=1) as served:
        answer = served.call("GET", "/health/ready")
        assert (answer.status_code, answer.json()["failing"]) == (503, {"mysql": "unreachable"})
        body = {"email": "a@example.com", "password": "whatever1"}
        answer = served.call("POST", "/api/v1/auth/login", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "CONNECTION_ERROR")
        assert answer.headers["retry-after"] == "1"


def test_ready_follows_the_schema(serve: ServeApp, make_settings: MakeSettings, mariadb):
    mariadb.run("CREATE OR REPLACE DATABASE search_api_health")
    with serve(database_name="search_api_health") as served:

        def failing() -> dict[str, str]:
            answer = served.call("GET", "/health/ready")
            assert answer.status_code == (503 if "failing" in answer.json() else 200)
            return answer.json().get("failing", {})

        assert failing() == {"schema": "the schema is missing; run `search-api migrate`"}
        migrate.upgrade(make_settings(database_name="search_api_health"))
        assert failing() == {}
        mariadb.run("UPDATE search_api_health.alembic_version SET version_num = '0006'")
        assert f"needs {SCHEMA_NUMBER:04d}" in failing()["schema"]
        mariadb.run(f"UPDATE search_api_health.alembic_version SET version_num = '{SCHEMA_NUMBER + 2:04d}'")  # noqa: S608
        assert failing() == {}, "old code goes on beside an expanded schema"
        mariadb.run(f"UPDATE search_api_health.schema_contract SET oldest_reader = {SCHEMA_NUMBER + 1}")  # noqa: S608
        assert f"can be read from version {SCHEMA_NUMBER + 1:04d} on" in failing()["schema"]
        mariadb.run("DELETE FROM search_api_health.schema_contract")
        assert "not complete" in failing()["schema"]


@pytest.mark.usefixtures("client")
def test_the_loss_of_redis_is_degraded_and_nothing_fails(serve: ServeApp, shop, tmp_path):
    port = free_port()
    with serve(redis_port=port, redis_timeout=0.2) as served:
        user = served.register()
        user.database(shop)
        secret = user.secret()
        body = {"query": "scalable"}
        for _ in range(2):
            found = served.data("POST", "/api/v1/search", secret, json=body)
            assert (found["totalCount"], found["cache"]) == (1, "miss")
        answer = served.call("GET", "/health/ready")
        assert (answer.status_code, answer.json()["status"], answer.json()["degraded"]) == (
            200,
            "degraded",
            ["redis"],
        )
        key = served.data("GET", "/api/v1/keys", user.token)["apiKeys"][0]["id"]
        served.data("DELETE", f"/api/v1/keys/{key}", user.token)
        assert served.fault("POST", "/api/v1/search", secret, json=body) == (401, "INVALID_API_KEY")
        with redis_server(tmp_path, port):
            served_again = [
                served.data("POST", "/api/v1/search", user.secret(), json=body)["cache"] for _ in range(1)
            ]
            assert served_again == ["miss"]


def test_metrics_have_the_promised_names_and_no_ids(client: Client, person: Person, shop):
    database = person.database(shop)
    key = person.key()
    client.data("POST", "/api/v1/search", key["secretKey"], json={"query": "scalable"})
    text = client.call("GET", "/metrics").text
    for name in (
        "http_requests_total{", "http_request_duration_seconds_bucket{", "http_response_bytes_total{",
        "search_requests_total{", "search_duration_seconds_bucket{", 'sql_statements_total{target="customer"}',
        'sql_statements_total{target="platform"}', "redis_commands_total{", "cache_operations_total{",
        "cache_hit_ratio{", "database_connections_active{", "database_query_duration_seconds_bucket{",
        "api_key_usage_total{", "search_api_cpu_seconds_total ",
    ):  # fmt: skip
        assert f"\n{name}" in text, name
    assert 'route="/api/v1/search"' in text
    for private in (database, key["apiKey"]["id"], person.id, key["secretKey"]):
        assert private not in text


def test_workers_share_their_metrics(tmp_path):
    script = (
        "from search_api import metrics\n"
        "metrics.CACHE_OPERATIONS.labels('search', '{}').inc(2)\n"
        "metrics.count_cpu()\n"
        "print(metrics.render_metrics()[0].decode())\n"
    )
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for outcome in ("hit", "miss"):
        output = subprocess.run(
            [sys.executable, "-c", script.format(outcome)],
            env=environment,
            check=True,
            capture_output=True,
            timeout=60,
        ).stdout.decode()
    assert 'cache_operations_total{kind="search",outcome="hit"} 2.0' in output
    assert 'cache_operations_total{kind="search",outcome="miss"} 2.0' in output
    assert 'cache_hit_ratio{kind="search"} 0.5' in output
