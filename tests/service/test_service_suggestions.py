import uuid

import pytest
from conftest import ServeApp
from search_api.search.optimization import corrected
from search_api.search.vocabulary import Vocabulary
from service_client import Client, Person

SUGGESTIONS = "/api/v1/search/suggestions"
SEARCH = "/api/v1/search"


@pytest.fixture(scope="module")
def reader(client: Client, shop) -> tuple[Client, str, str, str]:
    user = client.register()
    first = user.database(shop)
    second = user.database(shop | {"name": "second", "database": "shop_b"})
    return client, user.secret(), first, second


def suggested(reader, query: str, **parameters) -> list[dict]:
    client, key, _, _ = reader
    found = client.data("GET", SUGGESTIONS, key, params={"query": query} | parameters)
    assert set(found) == {"suggestions"}
    for one in found["suggestions"]:
        assert set(one) == {"text", "score", "type"}
        assert 0 < one["score"] <= 1
        assert one["type"] in {"spelling", "semantic", "popular"}
    scores = [one["score"] for one in found["suggestions"]]
    assert scores == sorted(scores, reverse=True)
    return found["suggestions"]


def texts(found: list[dict]) -> list[str]:
    return [one["text"] for one in found]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("scalabel", "scalable"),
        ("databse", "database"),
        ("worldwide wbe srever", "worldwide web server"),
        ("persis", "persistent"),
        ("Databse-Server", "database-Server"),
    ],
)
def test_spelling_comes_from_the_corpus_own_words(reader, query, expected):
    found = suggested(reader, query)
    assert expected in texts(found)
    assert next(one for one in found if one["text"] == expected)["type"] == "spelling"


@pytest.mark.parametrize("query", ["zzzzqqqqxx", "!!!", "a", "the", "x" * 500, "日本語", "%_'`\\", '+-"'])
def test_unknown_words_and_no_words_are_no_fault(reader, query):
    assert isinstance(suggested(reader, query), list)


def test_databases_may_be_single_repeated_or_comma_separated(reader):
    _, _, first, second = reader
    for databases in (first, [first], [first, second], f"{first},{second}", f" {second} , {first} ,"):
        assert "scalable" in texts(suggested(reader, "scalabel", databases=databases))
    assert "scalable" not in texts(suggested(reader, "scalabel", databases=second))
    assert "cookbook" in texts(suggested(reader, "cookbok", databases=second))


def test_tables_narrow_the_words(reader):
    assert "marathon" in texts(suggested(reader, "maraton", tables=["events", "packages"]))
    assert "marathon" in texts(suggested(reader, "maraton", tables="events,packages"))
    assert "marathon" not in texts(suggested(reader, "maraton", tables="packages"))


@pytest.mark.parametrize(
    "parameters",
    [{}, {"query": ""}, {"query": "  "}, {"query": "x" * 501}, {"query": "x", "databases": "no id"}],
)
def test_what_cannot_be_asked_is_a_400(reader, parameters):
    client, key, _, _ = reader
    assert client.fault("GET", SUGGESTIONS, key, params=parameters) == (400, "VALIDATION_ERROR")


def test_anothers_database_is_a_404_and_anothers_words_are_never_suggested(
    client: Client, person: Person, other: Person, shop
):
    theirs = other.database(shop)
    other_key, key = other.secret(), person.secret()
    for _ in range(3):
        client.data("POST", SEARCH, other_key, json={"query": "scalable proxy"})
    for wrong in (theirs, str(uuid.uuid4())):
        fault = client.fault("GET", SUGGESTIONS, key, params={"query": "scalabel", "databases": wrong})
        assert fault == (404, "CONNECTION_NOT_FOUND")
    assert client.data("GET", SUGGESTIONS, key, params={"query": "scalabel"}) == {"suggestions": []}
    assert client.data("GET", SUGGESTIONS, key, params={"query": "scal"}) == {"suggestions": []}


def test_popular_ones_are_the_owners_own_fruitful_searches(client: Client, person: Person, shop):
    person.database(shop)
    key = person.secret()
    for query in ("web server", "web server", "web modules", "web nosuchthing100%", "unrelated"):
        client.data(
            "POST", SEARCH, key, json={"query": query, "tables": ["packages"], "searchMode": "boolean"}
        )
    client.data("POST", SEARCH, key, json={"query": "+web +nosuchthing", "searchMode": "boolean"})
    # Suggestions do not wait for records to be written; who reads the history does.
    assert len(client.data("GET", f"{SEARCH}/history", key)) == 6
    found = client.data("GET", SUGGESTIONS, key, params={"query": "web"})["suggestions"]
    popular = [(one["text"], one["score"]) for one in found if one["type"] == "popular"]
    assert popular[0] == ("web server", 1.0)
    assert ("web modules", 0.5) in popular
    assert not {"+web +nosuchthing", "unrelated"} & set(texts(found))
    found = client.data("GET", SUGGESTIONS, key, params={"query": "100%"})["suggestions"]
    assert [one["text"] for one in found if one["type"] == "popular"] == ["web nosuchthing100%"]


def test_it_needs_the_permission_to_search(client: Client, person: Person):
    key = person.secret(permissions=["analytics"])
    fault = client.fault("GET", SUGGESTIONS, key, params={"query": "x"})
    assert fault == (403, "INSUFFICIENT_PERMISSIONS")


def test_a_database_that_is_down_leaves_the_others_words(client: Client, person: Person, shop, mariadb):
    person.database(shop)
    bad = person.database(shop | {"database": "shop_b"})
    mariadb.run(f"UPDATE search_api.database_connections SET port = 1 WHERE id = '{bad}'")  # noqa: S608
    found = client.data("GET", SUGGESTIONS, person.secret(), params={"query": "scalabel"})["suggestions"]
    assert "scalable" in texts(found)


@pytest.mark.usefixtures("client")
def test_the_vocabulary_is_bounded(serve: ServeApp, shop):
    with serve(vocabulary_rows=100) as small:
        user = small.register()
        user.database(shop | {"database": "shop_b"})
        found = small.data("GET", SUGGESTIONS, user.secret(), params={"query": "gadgte"})["suggestions"]
    assert "gadget" in texts(found)


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("serve", ["server"]), ("sevrer", ["server", "severe"]), ("xserver", ["server"]), ("server", ["severe"]),
        ("webb", ["web"]), ("we", []), ("wxyz", []), ("SERVRE", ["server", "severe"]),
    ],
)  # fmt: skip
def test_near_words_are_slips_of_the_hand(word, near):
    vocabulary = Vocabulary({"server": 9, "severe": 2, "web": 5, "database": 7})
    assert [text for text, _ in vocabulary.near(word)] == near


def test_a_corrected_query_keeps_all_else():
    near = {"srever": [("server", 0.8)], "wbe": [("web", 0.7), ("wee", 0.5)]}
    found = corrected("+Wbe -(srever) x", near)
    assert [one["text"] for one in found] == ["+web -(server) x", "+wee -(server) x"]
    assert corrected("x", {}) == []
