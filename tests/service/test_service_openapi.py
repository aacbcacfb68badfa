"""The document against the service: complete, true, and its examples work."""

from typing import Any

import pytest
from conftest import MakeSettings
from fuzz_openapi import Target, fuzz, ids_of
from search_api.app import create_app
from search_api.documentation.operations import MEANINGS, OPERATIONS
from search_api.documentation.page import CONTENT_POLICY
from search_api.limits.standing import HEADERS
from service_client import PASSWORD, Client, Person

PREFIX = "/api/v1"
PUBLIC = {
    "GET /health", "GET /health/live", "GET /health/ready", "GET /metrics", "GET /api/v1/status",
    "GET /api/v1/management/health", "POST /api/v1/auth/register", "POST /api/v1/auth/login",
}  # fmt: skip


@pytest.fixture(scope="module")
def document(client: Client) -> dict[str, Any]:
    answer = client.call("GET", f"{PREFIX}/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    made: dict[str, Any] = answer.json()
    return made


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_every_operation_says_who_may_call_and_only_the_contracts_are_open(document):
    open_ones = {name for name, operation in operations(document).items() if not operation.get("security")}
    assert open_ones == PUBLIC
    assert set(document["components"]["securitySchemes"]) == {"login", "apiKey", "apiKeyBearer"}
    assert operations(document)["POST /api/v1/search"]["security"][0] == {"apiKey": ["search"]}
    assert operations(document)["GET /health/detailed"]["security"][0] == {"apiKey": ["admin"]}


def test_every_operation_is_typed_and_every_error_is_the_envelope(document):
    loose = document["components"]["schemas"].get("Envelope_dict_str__Any__")
    for name, operation in operations(document).items():
        assert "422" not in operation["responses"], name
        assert operation["summary"], name
        for status, answer in operation["responses"].items():
            schemas = [content["schema"] for content in answer["content"].values()]
            if int(status) >= 400 and name != "GET /health/ready":
                assert schemas == [{"$ref": "#/components/schemas/ErrorEnvelope"}], (name, status)
            for schema in schemas:
                assert schema, (name, status)
                assert "dict_str__Any__" not in schema.get("$ref", ""), f"{name}: give {status} a model"
        assert "500" in operation["responses"], name
    assert loose is None or "Envelope_dict_str__Any__" not in str(document["paths"])


def test_what_is_limited_names_its_headers_and_details(document):
    named = {name for name, operation in operations(document).items() if "429" in operation["responses"]}
    assert named >= {"POST /api/v1/search", "POST /api/v1/auth/login", "POST /api/v1/keys"}
    for name in named:
        responses = operations(document)[name]["responses"]
        assert set(responses["429"]["headers"]) == {*HEADERS, "Retry-After"}, name
        example = responses["429"]["content"]["application/json"]["examples"]["RATE_LIMIT_EXCEEDED"]
        assert set(example["value"]["error"]["details"]) == {"retryAfter", "limit", "remaining", "tier"}
    for name, status in (
        ("POST /api/v1/search", "200"),
        ("GET /api/v1/search/suggestions", "200"),
        ("POST /api/v1/auth/register", "201"),
        ("POST /api/v1/keys/{key_id}/regenerate", "200"),
    ):
        assert set(operations(document)[name]["responses"][status]["headers"]) == set(HEADERS), name


def test_every_body_has_an_example_and_every_description_an_operation(document):
    for name, operation in operations(document).items():
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert content.get("example"), f"{name}: give it an example in documentation/operations.py"
    assert set(OPERATIONS) <= set(operations(document))
    named = {error.split(" ", 1)[1] for described in OPERATIONS.values() for error in described.errors}
    assert named <= set(MEANINGS)


def test_the_examples_work_as_they_stand(client: Client, document, shop):
    examples = {
        name: operation["requestBody"]["content"]["application/json"]["example"]
        for name, operation in operations(document).items()
        if "requestBody" in operation
    }
    made = client.data(
        "POST", f"{PREFIX}/auth/register", json=examples["POST /api/v1/auth/register"], status=201
    )
    login = client.data("POST", f"{PREFIX}/auth/login", json=examples["POST /api/v1/auth/login"])
    assert login["user"]["id"] == made["user"]["id"]
    token = login["token"]
    client.data("PUT", f"{PREFIX}/auth/profile", token, json=examples["PUT /api/v1/auth/profile"])
    key = client.data("POST", f"{PREFIX}/keys", token, json=examples["POST /api/v1/keys"], status=201)
    path = f"{PREFIX}/keys/{key['apiKey']['id']}"
    client.data("PUT", path, token, json=examples["PUT /api/v1/keys/{key_id}"])
    again = examples["POST /api/v1/keys/{key_id}/regenerate"]
    key = client.data("POST", f"{path}/regenerate", token, json=again)
    # The reader's own database takes the place of the example's.
    database = examples["POST /api/v1/databases"] | {
        name: value for name, value in shop.items() if name != "name"
    }
    row = client.data("POST", f"{PREFIX}/databases", token, json=database, status=201)
    assert row["ssl"] is True
    path = f"{PREFIX}/databases/{row['id']}"
    client.data("PUT", path, token, json=examples["PUT /api/v1/databases/{connection_id}"])
    found = client.data("POST", f"{PREFIX}/search", key["secretKey"], json=examples["POST /api/v1/search"])
    assert found["totalCount"] >= 1
    analyst = client.data("POST", f"{PREFIX}/keys", token, status=201, json=(
        examples["POST /api/v1/keys"] | {"permissions": ["analytics"]}
    ))["secretKey"]  # fmt: skip
    analysis = examples["POST /api/v1/search/analyze"]
    assert client.data("POST", f"{PREFIX}/search/analyze", analyst, json=analysis)["performance"]["tables"]
    client.data(
        "POST", f"{PREFIX}/auth/change-password", token, json=examples["POST /api/v1/auth/change-password"]
    )
    client.data("DELETE", f"{PREFIX}/auth/account", client.data(
        "POST", f"{PREFIX}/auth/login",
        json={"email": "ada@example.com", "password": "Another-Good-9-Pass"},
    )["token"])  # fmt: skip


def test_the_page_loads_from_this_server_only_under_a_strict_policy(client: Client):
    page = client.call("GET", f"{PREFIX}/docs")
    assert page.headers["content-security-policy"] == CONTENT_POLICY
    assert "unsafe" not in CONTENT_POLICY
    assert "http" not in page.text.replace("http-equiv", "")
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png", "docs.js", "docs.css"):
        assert f"/api/v1/docs/{name}" in page.text
        asset = client.call("GET", f"{PREFIX}/docs/{name}")
        assert asset.status_code == 200
        again = client.call("GET", f"{PREFIX}/docs/{name}", headers={"If-None-Match": asset.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert "default-src 'none'; frame-ancestors" in asset.headers["content-security-policy"]
    for name in ("docs.html", "..%2Fpage.py", "__init__.py"):
        assert client.fault("GET", f"{PREFIX}/docs/{name}") == (404, "NOT_FOUND")
    assert (
        "default-src 'none'; frame-ancestors"
        in client.call("GET", "/health").headers["content-security-policy"]
    )


def test_the_document_needs_no_server(make_settings: MakeSettings, document):
    assert create_app(make_settings()).openapi() == document


def test_a_short_run_of_generated_requests_finds_nothing(client: Client, person: Person, other: Person, shop):
    key = person.key(name="in use", permissions=["search", "analytics"])
    for each in (person, other):
        each.database(shop)
        each.key()
    target = Target(
        client.base,
        person.token,
        key["secretKey"],
        own=ids_of(client.base, person.token, True, without_key=key["secretKey"]),
        foreign=ids_of(client.base, other.token, True),
    )
    outcome = fuzz(target, cases=400, seconds=120, seed=7)
    assert outcome.faults == []
    assert outcome.cases >= 400
    assert {200, 400, 401, 404} <= set(outcome.statuses)
    assert client.data("GET", f"{PREFIX}/auth/profile", other.token)["id"] == other.id
    again = client.data("POST", f"{PREFIX}/auth/login", json={"email": other.email, "password": PASSWORD})
    assert len(again["user"]["connectedDatabases"]) == 1
