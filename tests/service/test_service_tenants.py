"""What belongs to one user does not exist for another: same status, same code, same message as an id of nobody.

The matrix is made from the service's own document: every operation is called with what is one's own, with another
tenant's ids, with the wrong kind of credential, and its answer is searched for what another tenant planted. An
operation that the matrix cannot call is a failure, so that a new one is covered or red.
"""

import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from service_client import Client, Person

CONNECTION = "/api/v1/databases"
KEY = "/api/v1/keys"
# What a call needs beyond its document's example: query parameters by operation.
INPUTS: dict[str, dict[str, str]] = {
    "GET /api/v1/search/suggestions": {"query": "ngi"},
}
ID_NAMES = {"connection_id", "key_id"}
FOR_ADMINISTRATORS = ("/api/v1/analytics/admin/", "/health/detailed")


@dataclass(frozen=True)
class Operation:
    """One operation of the document."""

    method: str
    path: str
    described: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def schemes(self) -> set[str]:
        return {name for need in self.described.get("security", []) for name in need}

    @property
    def ids(self) -> list[str]:
        return [each["name"] for each in self.described.get("parameters", []) if each["in"] == "path"]

    def body(self, shop: dict[str, Any]) -> Any:
        content = self.described.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None:
            return None
        return shop if self.name == f"POST {CONNECTION}" else content["example"]

    def takes_databases(self, document: dict[str, Any]) -> str:
        """Where it takes ids of connections besides its path: "query", "body" or nowhere."""
        if any(each["name"] == "databases" for each in self.described.get("parameters", [])):
            return "query"
        for content in self.described.get("requestBody", {}).get("content", {}).values():
            model = content["schema"].get("$ref", "").rpartition("/")[2]
            if "databases" in document["components"]["schemas"].get(model, {}).get("properties", {}):
                return "body"
        return ""


@dataclass(frozen=True)
class Tenant:
    """A user with a connection, a key and a search of their own; ``marks`` are nobody else's."""

    person: Person
    connection: str
    key: dict[str, Any]
    marks: tuple[str, ...]

    def ids(self) -> dict[str, str]:
        return {"connection_id": self.connection, "key_id": self.key["apiKey"]["id"]}

    def credential(self, operation: Operation) -> str:
        return self.person.token if "login" in operation.schemes else str(self.key["secretKey"])


def settle(client: Client, shop: dict[str, Any]) -> Tenant:
    """A new tenant. Everything that could show up elsewhere bears a mark."""
    person = client.register()
    mark = uuid.uuid4().hex
    connection = person.database(shop | {"name": f"database {mark}"})
    key = person.key(name=f"key {mark}", permissions=["search", "analytics"])
    client.data("POST", "/api/v1/search", key["secretKey"], json={"query": f"nginx {mark}"})
    marks = (person.email, person.id, connection, key["apiKey"]["id"], key["apiKey"]["keyPrefix"], mark)
    return Tenant(person, connection, key, marks)


@pytest.fixture(scope="module")
def document(client: Client) -> dict[str, Any]:
    made: dict[str, Any] = client.call("GET", "/api/v1/openapi.json").json()
    return made


@pytest.fixture(scope="module")
def closed(document: dict[str, Any]) -> list[Operation]:
    """Every operation that asks who is calling."""
    found = [
        Operation(method.upper(), path, described)
        for path, methods in document["paths"].items()
        for method, described in methods.items()
    ]
    return [operation for operation in found if operation.schemes]


def call(client: Client, operation: Operation, ids: dict[str, str], credential: str, shop, **changes: Any):
    options: dict[str, Any] = {"json": operation.body(shop), "params": INPUTS.get(operation.name)} | changes
    return client.call(operation.method, operation.path.format(**ids), credential, **options)


def test_every_operation_is_answered_with_ones_own_and_shows_nothing_of_another(client, closed, shop):
    me, other = settle(client, shop), settle(client, shop)
    assert len(closed) >= 25
    before = "GET"
    for operation in closed:
        assert set(operation.ids) <= ID_NAMES, f"{operation.name}: name the parameter's other tenant here"
        if before != "GET":  # it may have changed or ended something
            me = settle(client, shop)
        before = operation.method
        if "setup" in operation.path:
            client.data("DELETE", f"{KEY}/{me.key['apiKey']['id']}", me.person.token)
        answer = call(client, operation, me.ids(), me.credential(operation), shop)
        if operation.path.startswith(FOR_ADMINISTRATORS):
            assert answer.status_code == 403, (operation.name, answer.text)
            continue
        assert answer.status_code < 300, (
            f"{operation.name}: cannot be called as it is described: {answer.text}"
        )
        for mark in other.marks:
            assert mark not in answer.text, f"{operation.name} shows another tenant's {mark}"


def test_anothers_id_is_a_wrong_id_everywhere(client, closed, shop):
    me, other = settle(client, shop), settle(client, shop)
    with_id = [operation for operation in closed if operation.ids]
    assert len(with_id) >= 9
    for operation in with_id:
        wrong = [other.ids(), dict.fromkeys(ID_NAMES, str(uuid.uuid4())), dict.fromkeys(ID_NAMES, "x'--")]
        answers = [call(client, operation, ids, me.credential(operation), shop) for ids in wrong]
        errors = [(answer.status_code, answer.json().get("error")) for answer in answers]
        assert errors[0] == errors[1] == errors[2], operation.name
        assert errors[0][0] == 404, operation.name
        assert errors[0][1]["code"] in ("CONNECTION_NOT_FOUND", "API_KEY_NOT_FOUND")
    assert client.data("GET", f"{CONNECTION}/{other.connection}", other.person.token)["name"].endswith(
        other.marks[-1]
    )
    assert (
        client.data("GET", f"{KEY}/{other.ids()['key_id']}", other.person.token)["apiKey"]["isActive"] is True
    )


def test_anothers_database_cannot_be_named_in_a_query_or_a_body(client, closed, document, shop):
    me, other = settle(client, shop), settle(client, shop)
    seen = 0
    for operation in closed:
        where = operation.takes_databases(document)
        if not where:
            continue
        seen += 1
        for ids in ([other.connection], [me.connection, other.connection], [str(uuid.uuid4())]):
            changes = (
                {"params": INPUTS.get(operation.name, {}) | {"databases": ids}}
                if where == "query"
                else {"json": operation.body(shop) | {"databases": ids}}
            )
            answer = call(client, operation, me.ids(), me.credential(operation), shop, **changes)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "CONNECTION_NOT_FOUND")
    assert seen >= 1


def test_a_key_is_no_login_and_a_login_is_no_key_and_ended_ones_are_neither(client, closed, shop):
    me, gone = settle(client, shop), settle(client, shop)
    client.data("DELETE", "/api/v1/auth/account", gone.person.token)
    for operation in closed:
        swapped = me.key["secretKey"] if "login" in operation.schemes else me.person.token
        for credential in (swapped, gone.person.token, gone.key["secretKey"], None):
            answer = call(client, operation, me.ids(), credential, shop)
            assert answer.status_code == 401, (operation.name, answer.text)
            assert answer.headers["www-authenticate"] == "Bearer"
    assert client.data("GET", "/api/v1/auth/profile", me.person.token)["id"] == me.person.id


def test_lists_and_status_show_ones_own_only(client: Client, person: Person, other: Person, shop):
    theirs = other.database(shop)
    mine = person.database(shop)
    other.key()
    assert [row["id"] for row in client.data("GET", CONNECTION, person.token)] == [mine]
    assert client.data("GET", CONNECTION + "/status", person.token) == {mine: True}
    assert client.data("GET", KEY, person.token) == {"apiKeys": [], "total": 0}
    assert client.data("GET", "/api/v1/auth/profile", person.token)["connectedDatabases"] == [mine]
    assert theirs != mine


def test_a_search_never_reaches_anothers_database(client: Client, person: Person, other: Person, shop):
    theirs, mine = other.database(shop), person.database(shop)
    secret = person.secret()
    for ids in ([theirs], [mine, theirs], [str(uuid.uuid4())]):
        fault = client.fault("POST", "/api/v1/search", secret, json={"query": "nginx", "databases": ids})
        assert fault == (404, "CONNECTION_NOT_FOUND")
    found = client.data("POST", "/api/v1/search", secret, json={"query": "nginx"})
    assert {row["database"] for row in found["results"]} == {mine}


def test_the_cache_is_no_way_to_anothers_results(client: Client, person: Person, other: Person, shop):
    mine = person.database(shop)
    body = {"query": "scalable"}
    first = client.data("POST", "/api/v1/search", person.secret(), json=body)
    again = client.data("POST", "/api/v1/search", person.secret(), json=body)
    assert (first["cache"], again["cache"]) == ("miss", "hit")
    theirs = client.data("POST", "/api/v1/search", other.secret(), json=body)
    assert (theirs["cache"], theirs["results"], theirs["totalCount"]) == ("miss", [], 0)
    client.data("DELETE", f"{CONNECTION}/{mine}", person.token)
    gone = client.data("POST", "/api/v1/search", person.secret(), json=body)
    assert (gone["cache"], gone["totalCount"]) == ("miss", 0)


def test_trends_and_records_are_ones_own(client: Client, person: Person, other: Person, shop):
    person.database(shop)
    client.data("POST", "/api/v1/search", person.secret(), json={"query": "private question"})
    seen = client.data(
        "POST", "/api/v1/search", other.secret(), json={"query": "mine", "includeAnalytics": True}
    )
    assert seen["trends"]["topQueries"] == ["mine"]
    assert seen["trends"]["queryVolume"] == 1
