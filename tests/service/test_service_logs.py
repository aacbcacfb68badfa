import json
import logging

import pytest
from conftest import DATABASE_PASSWORD, SEARCHER_PASSWORD, SECRETS, ServeApp
from search_api.logs import STRUCK, configure_logs, strike_secrets
from service_client import PASSWORD


@pytest.mark.usefixtures("client")
def test_no_secret_reaches_the_logs(serve: ServeApp, shop, capsys):
    with serve(log_level="debug") as noisy:
        user = noisy.register()
        key = user.key()
        user.database(shop)
        noisy.fault("POST", "/api/v1/databases", user.token, json=shop | {"port": 1})
        noisy.fault("POST", "/api/v1/databases", user.token, json=shop | {"password": "Wrong-But-Private-1"})
        noisy.data("POST", "/api/v1/search", key["secretKey"], json={"query": "scalable"})
        noisy.fault("POST", "/api/v1/search", key["secretKey"] + "x", json={"query": "scalable"})
        noisy.data("POST", "/api/v1/auth/login", json={"email": user.email, "password": PASSWORD})
        noisy.fault("POST", "/api/v1/auth/login", data=f'{{"password": "{PASSWORD}"')
        noisy.data("POST", "/api/v1/auth/logout", user.token)
    text = capsys.readouterr().out
    lines = [json.loads(line) for line in text.splitlines()]
    assert len([line for line in lines if line["message"] == "request"]) >= 9
    private = [
        PASSWORD,
        SEARCHER_PASSWORD,
        "Wrong-But-Private-1",
        user.token,
        key["secretKey"],
        key["secretKey"][:30],
    ]
    for secret in [*private, *SECRETS.values()]:
        assert secret not in text


@pytest.mark.usefixtures("client")
def test_a_line_is_json_with_request_id_route_and_status(serve: ServeApp, capsys):
    with serve(log_level="info") as served:
        served.call("GET", "/api/v1/keys/123", headers={"X-Request-Id": "my-request-1"})
    line = next(json.loads(row) for row in capsys.readouterr().out.splitlines() if "my-request-1" in row)
    assert (line["message"], line["level"], line["route"], line["status"]) == (
        "request",
        "info",
        "/api/v1/keys/{key_id}",
        401,
    )
    assert (line["request_id"], line["method"], line["client"]) == ("my-request-1", "GET", "127.0.0.1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("password", "x"), ("Authorization", "Bearer x"), ("api_key", "x"), ("jwt_secret", "x"), ("set_cookie", "x"),
        ("text", "key lg_sk_live_0123456789abcdef here"), ("text", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln"),
        ("url", "mysql://user:hidden@db/x"), ("nested", {"password": "hidden"}), ("items", ["lg_sk_test_abc0123"]),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_struck_out(name, value):
    struck = strike_secrets({name: value})
    assert STRUCK in str(struck)
    for secret in ("hidden", "lg_sk_", "eyJ", "'x'"):
        assert secret not in str(struck[name])


def test_the_services_own_secrets_are_struck_out_of_any_text(make_settings, capsys):
    configure_logs(make_settings(log_level="info"))
    logging.getLogger("some.library").warning("connecting with %s", DATABASE_PASSWORD)
    logged = json.loads(capsys.readouterr().out)
    assert logged["message"] == f"connecting with {STRUCK}"
