"""What belongs to one user does not exist for another: same status, same code, same message as an id of nobody."""

import uuid

import pytest
from service_client import Client, Person

CONNECTION = "/api/v1/databases"
KEY = "/api/v1/keys"
MATRIX = [
    ("GET", CONNECTION + "/{id}", None, "CONNECTION_NOT_FOUND"),
    ("PUT", CONNECTION + "/{id}", {"name": "mine now"}, "CONNECTION_NOT_FOUND"),
    ("PUT", CONNECTION + "/{id}", {"password": "x", "host": "127.0.0.1"}, "CONNECTION_NOT_FOUND"),
    ("DELETE", CONNECTION + "/{id}", None, "CONNECTION_NOT_FOUND"),
    ("POST", CONNECTION + "/{id}/test", None, "CONNECTION_NOT_FOUND"),
    ("GET", CONNECTION + "/{id}/schema", None, "CONNECTION_NOT_FOUND"),
    ("GET", KEY + "/{id}", None, "API_KEY_NOT_FOUND"),
    ("PUT", KEY + "/{id}", {"name": "mine now"}, "API_KEY_NOT_FOUND"),
    ("DELETE", KEY + "/{id}", None, "API_KEY_NOT_FOUND"),
    ("GET", KEY + "/{id}/usage", None, "API_KEY_NOT_FOUND"),
]


@pytest.mark.parametrize(("method", "path", "body", "code"), MATRIX)
def test_anothers_id_is_a_wrong_id(
    client: Client, person: Person, other: Person, shop, method, path, body, code
):
    theirs = other.database(shop) if path.startswith(CONNECTION) else other.key()["apiKey"]["id"]
    answers = [
        client.call(method, path.format(id=each), person.token, json=body)
        for each in (theirs, uuid.uuid4(), "x'--")
    ]
    assert {(answer.status_code, answer.json()["error"]["code"]) for answer in answers} == {(404, code)}
    assert len({answer.json()["error"]["message"] for answer in answers}) == 1
    own = client.data(
        "GET",
        path.format(id=theirs).removesuffix("/test").removesuffix("/schema").removesuffix("/usage"),
        other.token,
    )
    assert "mine now" not in str(own)


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
