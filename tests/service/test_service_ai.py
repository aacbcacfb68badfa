"""Semantic search with the AI, without it, and with every fault of it."""

import itertools
import time

import pytest
from conftest import MakeSettings, ServeApp
from search_api.settings import SettingsError
from service_client import Client, Person
from service_standin import StandInAt, standin_server

from infra.sandbox.openai_standin.faults import KINDS

pytestmark = pytest.mark.usefixtures("client")  # the schema is complete
SEARCH = "/api/v1/search"
PATIENT = {"ai_retries": 1, "ai_breaker_failures": 50}
QUICK = PATIENT | {"ai_timeout": 0.6, "ai_deadline": 1}
# What each fault leaves of a semantic search: nothing to say, or the reason.
EXPECTED = {
    "none": [], "slow": [], "limited": ["ai_unavailable"], "error": ["ai_unavailable"], "hang": ["ai_timeout"],
    "drip": ["ai_timeout"], "bad_json": ["ai_unavailable"], "empty": ["ai_unavailable"],
    "wrong_dimensions": ["ai_unavailable"], "not_a_number": ["ai_unavailable"], "wrong_count": ["ai_unavailable"],
    "down": ["ai_unavailable"],
}  # fmt: skip
SECONDS = {"slow": 0.2, "limited": 30, "hang": 30}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def standin(tmp_path_factory):
    with standin_server(tmp_path_factory.mktemp("standin")) as at:
        yield at


def searcher(client: Client, shop) -> tuple[Person, str, list[str]]:
    user = client.register()
    databases = [user.database(shop), user.database(shop | {"name": "second", "database": "shop_b"})]
    return user, user.secret(), databases


def ask(client: Client, key: str, query: str, mode: str = "semantic", **body):
    return client.data("POST", SEARCH, key, json={"query": query, "searchMode": mode} | body)


def fresh(query: str) -> str:
    """The query with a word that no cache knows."""
    return f"{query} nothing{next(_numbers)}"


def test_every_fault_is_known_here():
    assert set(EXPECTED) == set(KINDS)


@pytest.mark.parametrize("fault", list(KINDS))
@pytest.mark.parametrize("mode", ["natural", "boolean", "semantic"])
def test_no_fault_fails_a_search_and_each_says_what_it_cost(serve: ServeApp, standin, shop, fault, mode):
    with serve(**standin.settings, **(QUICK if fault in ("hang", "drip") else PATIENT)) as served:
        _, key, databases = searcher(served, shop)
        standin.begin(fault, seconds=SECONDS.get(fault, 1))
        started = time.monotonic()
        found = ask(served, key, fresh("web server"), mode, databases=databases[:1], tables=["packages"])
        took = time.monotonic() - started
    assert {result["data"]["name"] for result in found["results"]} == {"nginx", "apache2", "mariadb-server"}
    assert found["totalCount"] == 3
    expected = EXPECTED[fault] if mode == "semantic" else []
    assert found["degraded"] == expected
    assert found["modeUsed"] == ("natural" if expected else mode)
    assert took < SECONDS["hang"] / 3, (
        "far from what the fault would cost; the exact bound is tested elsewhere"
    )
    assert bool(standin.calls()) == (mode == "semantic")


def test_a_stand_in_that_is_gone_costs_nothing_but_the_order(serve, shop, tmp_path):
    with standin_server(tmp_path) as at:
        settings = at.settings
    with serve(**settings, **QUICK) as served:
        _, key, _ = searcher(served, shop)
        found = ask(served, key, "web server", tables=["packages"])
    assert (found["modeUsed"], found["degraded"]) == ("natural", ["ai_unavailable"])
    assert found["results"]


@pytest.fixture
def searching(serve, standin: StandInAt, shop):
    with serve(**standin.settings, ai_candidates=20, cache_search_seconds=0) as served:
        _, key, databases = searcher(served, shop)
        standin.begin()
        yield served, key, databases


def places(found) -> list[tuple[str, str]]:
    return [(result["database"], result["id"]) for result in found["results"]]


def test_pages_of_a_semantic_search_fit_together_wherever_they_are_cut(searching):
    served, key, _ = searching
    query = "gadget number server plain"
    natural = ask(served, key, query, "natural", limit=100)
    whole = ask(served, key, query, limit=100)
    assert whole["modeUsed"] == "semantic"
    assert whole["totalCount"] == natural["totalCount"] == len(natural["results"]) > 40
    assert places(whole)[20:] == places(natural)[20:], "beyond the candidates the words' order goes on"
    assert sorted(places(whole)[:20]) == sorted(places(natural)[:20])
    assert places(whole)[:20] != places(natural)[:20]
    for size in (7, 20, 33):
        pages = [
            ask(served, key, query, limit=size, offset=offset)
            for offset in range(0, whole["totalCount"], size)
        ]
        assert [place for page in pages for place in places(page)] == places(whole)
        assert {page["modeUsed"] for page in pages} == {"semantic"}
        assert [page["hasMore"] for page in pages] == [True] * (len(pages) - 1) + [False]
    scores = [result["relevanceScore"] for result in whole["results"]]
    assert scores == sorted(scores, reverse=True)


def test_what_was_embedded_before_is_not_asked_again(searching, standin):
    served, key, _ = searching
    query = fresh("web server")
    first = ask(served, key, query)
    assert len(standin.calls()) == 1
    texts = standin.calls()[0]["inputs"]
    assert texts == first["totalCount"] + 1, "the query and each match"
    assert places(ask(served, key, query)) == places(first)
    assert len(standin.calls()) == 1
    ask(served, key, fresh("web server"))
    assert [call["inputs"] for call in standin.calls()] == [texts, 1], "only the new query"
    standin.switch("down")
    again = ask(served, key, query)
    assert again["modeUsed"] == "semantic", "the cache serves while the AI is down"
    assert "ai_unavailable" not in again["degraded"]


def test_nobody_is_served_from_what_another_user_had_embedded(searching, standin, shop):
    served, key, _ = searching
    query = fresh("web server")
    ask(served, key, query)
    _, other_key, _ = searcher(served, shop)
    ask(served, other_key, query)
    first, second = standin.calls()
    assert first["inputs"] == second["inputs"]


def test_one_match_needs_no_order(searching, standin):
    served, key, _ = searching
    found = ask(served, key, "scalable", tables=["packages"])
    assert (found["modeUsed"], len(found["results"])) == ("semantic", 1)
    assert not standin.calls()


def test_a_search_that_had_to_do_without_the_ai_is_not_cached(serve, standin, shop):
    with serve(**standin.settings, **PATIENT) as served:
        _, key, _ = searcher(served, shop)
        standin.begin("error")
        query = fresh("web server")
        where = {"tables": ["packages"]}
        assert ask(served, key, query, **where)["degraded"] == ["ai_unavailable"]
        standin.switch("none")
        again = ask(served, key, query, **where)
        assert (again["modeUsed"], again["degraded"], again["cache"]) == ("semantic", [], "miss")
        assert ask(served, key, query, **where)["cache"] == "hit"


def test_closer_meaning_comes_first_when_the_words_say_the_same(searching, mariadb, shop):
    """All rows match one word equally well, being of one length; their others are too short for the index, not for the
    vectors."""
    served, _, _ = searching
    mariadb.run(
        "CREATE DATABASE shop_drawers",
        "CREATE TABLE shop_drawers.drawers (id INT PRIMARY KEY, label VARCHAR(90), FULLTEXT (label))",
        "INSERT INTO shop_drawers.drawers"
        " VALUES (1, 'cabinet is so in'), (2, 'cabinet we go up'), (3, 'cabinet by my or')",
    )
    user = served.register()
    user.database(shop | {"database": "shop_drawers"})
    key = user.secret()
    for mode, first in (("natural", 1), ("semantic", 2)):
        found = ask(served, key, "cabinet we go up", mode)
        assert found["results"][0]["data"]["id"] == first
        assert found["modeUsed"] == mode
        if mode == "natural":
            assert len({result["relevanceScore"] for result in found["results"]}) == 1, (
                "the words say the same"
            )


def test_settings_name_what_is_missing(make_settings: MakeSettings):
    for change, expected in (
        ({"ai_base_url": "https://ai.example/v1"}, "SEARCH_API_AI_API_KEY: is missing; give"),
        ({"ai_base_url": "ai.example"}, "SEARCH_API_AI_BASE_URL: "),
        ({"ai_base_url": "https://user:pw@ai.example/v1"}, "SEARCH_API_AI_BASE_URL: "),
        ({"ai_deadline": 2, "ai_timeout": 3}, "SEARCH_API_AI_DEADLINE: is 2 s; make it longer than"),
        ({"ai_deadline": 16}, "SEARCH_API_CUSTOMER_DEADLINE: is 15 s; make it longer than"),
        ({"ai_tls_ca": "/no/such/ca.pem"}, "SEARCH_API_AI_TLS_CA: names a file that does not exist"),
    ):
        with pytest.raises(SettingsError) as caught:
            make_settings(**change)
        assert str(caught.value).startswith(expected)


def test_users_texts_never_travel_in_the_clear(make_settings: MakeSettings):
    far = {"ai_base_url": "http://ai.example/v1", "ai_api_key": "sk-x"}
    strict = {
        "environment": "production",
        "redis_password": "Fh2-redis-own-secret",
        "password_memory_kib": 19456,
    }
    with pytest.raises(SettingsError, match="SEARCH_API_AI_BASE_URL: sends users' texts in the clear"):
        make_settings(**far, **strict, password_time_cost=2)
