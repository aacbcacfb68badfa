import json
import re
import uuid
from ipaddress import ip_network

import pytest
from conftest import MakeSettings
from search_api.app import create_app
from search_api.client_address import client_address
from search_api.version import __version__
from service_client import Client, Person
from service_processes import serving


def test_a_success_is_wrapped_exactly(client: Client, person: Person):
    answer = client.call("GET", "/api/v1/auth/profile", person.token)
    body = answer.json()
    assert set(body) == {"success", "data", "meta"}
    assert body["success"] is True
    assert set(body["meta"]) == {"timestamp", "requestId", "version"}
    assert body["meta"]["version"] == __version__
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["meta"]["timestamp"])
    assert answer.headers["x-request-id"] == body["meta"]["requestId"]
    assert uuid.UUID(body["meta"]["requestId"])


def test_an_error_is_wrapped_exactly(client: Client):
    answer = client.call("GET", "/api/v1/nothing/here")
    body = answer.json()
    assert answer.status_code == 404
    assert set(body) == {"success", "error", "meta"}
    assert body["success"] is False
    assert set(body["error"]) == {"code", "message"}
    assert body["error"]["code"] == "NOT_FOUND"
    assert set(body["meta"]) == {"timestamp", "requestId", "version"}
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("offered", "kept"),
    [
        ("req-12345678.abc_D", True),
        ("short", False),
        ("x" * 200, False),
        ("has space here", False),
        ("<script>123", False),
    ],
)
def test_a_well_formed_request_id_is_kept(client: Client, offered, kept):
    answer = client.call("GET", "/health", headers={"X-Request-Id": offered})
    assert (answer.headers["x-request-id"] == offered) is kept


def test_what_is_not_json_and_wrong_methods_are_named(client: Client):
    answer = client.call(
        "POST", "/api/v1/auth/login", data="{nope", headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_JSON")
    assert client.fault("DELETE", "/api/v1/auth/login") == (405, "METHOD_NOT_ALLOWED")
    assert client.fault("POST", "/api/v1/auth/login", json=[1]) == (400, "VALIDATION_ERROR")
    lone = b'{"email":"\\ud800@x.yz","password":"\\ud800"}'
    answer = client.call(
        "POST", "/api/v1/auth/login", data=lone, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400


def test_a_large_body_is_refused_declared_or_streamed(client: Client):
    body = json.dumps({"email": "x" * 70_000, "password": "y"})
    head = {"Content-Type": "application/json"}
    assert client.fault("POST", "/api/v1/auth/login", data=body, headers=head) == (413, "PAYLOAD_TOO_LARGE")
    chunks = (body[at : at + 8192].encode() for at in range(0, len(body), 8192))
    assert client.fault("POST", "/api/v1/auth/login", data=chunks, headers=head) == (413, "PAYLOAD_TOO_LARGE")


def test_a_body_in_pieces_is_read_whole(client: Client, person: Person):
    pieces = (piece for piece in (b'{"name": "In', b' Pieces"}'))
    head = {"Content-Type": "application/json"}
    assert (
        client.data("PUT", "/api/v1/auth/profile", person.token, data=pieces, headers=head)["name"]
        == "In Pieces"
    )


@pytest.mark.parametrize("path", ["/health", "/api/v1/nothing", "/api/v1/auth/profile"])
def test_every_answer_has_the_security_headers(client: Client, path):
    headers = client.call("GET", path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert headers["strict-transport-security"].startswith("max-age=31536000")
    assert "default-src 'none'" in headers["content-security-policy"]


def test_browsers_may_call_from_listed_origins_only(make_settings: MakeSettings):
    with serving(create_app(make_settings(cors_origins="https://app.example.com"))) as base:
        client = Client(base)
        ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        good = client.call("OPTIONS", "/api/v1/search", headers=ask | {"Origin": "https://app.example.com"})
        bad = client.call("OPTIONS", "/api/v1/search", headers=ask | {"Origin": "https://evil.example.com"})
    assert good.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "access-control-allow-origin" not in bad.headers


def test_what_nobody_caught_is_a_500_in_the_envelope(make_settings: MakeSettings, capsys):
    app = create_app(make_settings())

    @app.get("/api/v1/broken")
    def broken() -> None:
        raise ValueError("the reason with lg_sk_test_0123456789abcdefghij")

    with serving(app) as base:
        answer = Client(base).call("GET", "/api/v1/broken")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "INTERNAL_ERROR")
    assert "reason" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    logged = [line for line in capsys.readouterr().out.splitlines() if "request failed" in line]
    assert "ValueError" in logged[0]
    assert "lg_sk_test" not in logged[0]


@pytest.mark.parametrize(
    ("peer", "forwarded", "local", "expected"),
    [
        ("203.0.113.9", "1.2.3.4", False, "203.0.113.9"),
        ("10.0.0.2", "198.51.100.7", False, "198.51.100.7"),
        ("10.0.0.2", "6.6.6.6, 198.51.100.7, 10.0.0.3", False, "198.51.100.7"),
        (None, "6.6.6.6, 198.51.100.7", True, "198.51.100.7"),
        (None, "", True, ""),
        ("10.0.0.2", "not an address", False, "10.0.0.2"),
        ("10.0.0.2", "10.0.0.4, 10.0.0.3", False, "10.0.0.4"),
    ],
)
def test_the_callers_address_is_read_through_trusted_proxies_only(peer, forwarded, local, expected):
    trusted = (ip_network("10.0.0.0/24"),)
    assert client_address(peer, forwarded, trusted, peer_is_local_socket=local) == expected
