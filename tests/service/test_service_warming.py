# ruff: noqa: S608 (the tests' own ids in the tests' own statements)
import time
import uuid

import pytest
import redis
from conftest import MakeSettings, ServeApp
from search_api.services import Services
from search_api.warming import warm_once
from service_client import Client, Person

SEARCH = "/api/v1/search"


def searched(mariadb, person: Person, query: str, times: int, databases: list[str], **changes) -> None:
    row = {"mode": "natural", "status": "ok"} | changes
    ids = "[" + ", ".join(f'"{each}"' for each in databases) + "]"
    for _ in range(times):
        mariadb.run(
            f"INSERT INTO search_api.search_records VALUES ('{uuid.uuid4()}', '{person.id}', NULL, '{query}',"
            f" '{row['mode']}', '{ids}', 1, 5, 0, '{row['status']}', UTC_TIMESTAMP(3))"
        )


def written(client: Client, person: Person) -> None:
    """What was searched before is in the table: who reads the history sees all of it."""
    client.data("GET", "/api/v1/analytics/history", person.token)


@pytest.fixture
def alone(client: Client, person: Person, mariadb):
    """No searches of other tests are popular, nor will any be."""
    written(client, person)
    mariadb.run("DELETE FROM search_api.search_records")


@pytest.fixture
def services(make_settings: MakeSettings, alone):  # noqa: ARG001
    made: list[Services] = []

    def make(**changes) -> Services:
        made.append(Services(make_settings(**changes)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def state(client: Client, key: str, query: str, **body) -> str:
    return str(client.data("POST", SEARCH, key, json={"query": query} | body)["cache"])


def test_popular_searches_are_cached_and_others_are_not(
    client: Client, person: Person, shop, mariadb, services
):
    database = person.database(shop)
    searched(mariadb, person, "popular one", 4, [database])
    searched(mariadb, person, "+popular +two", 3, [database], mode="boolean")
    searched(mariadb, person, "seldom", 2, [database])
    searched(mariadb, person, "meant", 9, [database], mode="semantic")
    searched(mariadb, person, "broken", 9, [database], status="failed")
    before = mariadb.run("SELECT COUNT(*) AS n FROM search_api.search_records")[0]["n"]
    warmed = warm_once(services())
    assert (warmed.owners, warmed.made, warmed.present, warmed.failed) == (1, 2, 0, 0)
    assert mariadb.run("SELECT COUNT(*) AS n FROM search_api.search_records")[0]["n"] == before, (
        "not recorded"
    )
    key = person.secret()
    assert state(client, key, "popular one") == "hit"
    assert state(client, key, "+popular +two", searchMode="boolean") == "hit"
    assert state(client, key, "seldom") == "miss"
    assert state(client, key, "broken") == "miss"
    written(client, person)
    third = warm_once(services())
    assert (third.made, third.present) == (1, 2), (
        "by now the seldom one was asked three times, but by nobody who named the database"
    )
    again = warm_once(services())
    assert (again.made, again.present) == (0, 3)
    assert again.described() == "warmed: 0 searches of 1 users; 3 were cached already, 0 failed"


def test_it_is_bounded_and_each_owner_has_their_own(
    client: Client, person: Person, other: Person, shop, mariadb, services
):
    mine, theirs = person.database(shop), other.database(shop)
    for number in range(4):
        searched(mariadb, person, f"query {number}", 4 + number, [mine])
        searched(mariadb, other, f"query {number}", 3, [theirs])
    warmed = warm_once(services(warm_cache_owners=1, warm_cache_queries=2))
    assert (warmed.owners, warmed.made) == (1, 2)
    keys = person.secret(), other.secret()
    assert state(client, keys[0], "query 3") == "hit"
    assert state(client, keys[0], "query 2") == "hit"
    assert state(client, keys[0], "query 1") == "miss"
    assert state(client, keys[1], "query 3") == "miss"


def test_a_database_that_is_gone_or_down_does_not_stop_it(person: Person, shop, mariadb, services):
    good, bad = person.database(shop), person.database(shop | {"database": "shop_b"})
    mariadb.run(f"UPDATE search_api.database_connections SET port = 1 WHERE id = '{bad}'")
    searched(mariadb, person, "down", 9, [bad])
    searched(mariadb, person, "gone", 8, [str(uuid.uuid4())])
    searched(mariadb, person, "fine", 7, [good])
    warmed = warm_once(services())
    assert (warmed.made, warmed.failed) == (1, 2)


def test_it_rests_between_searches_and_stops_when_told(person: Person, shop, mariadb, services):
    database = person.database(shop)
    for number in range(3):
        searched(mariadb, person, f"resting {number}", 3, [database])
    rests: list[float] = []

    def rest(seconds: float) -> bool:
        rests.append(seconds)
        return len(rests) == 2

    assert warm_once(services(), rest).made == 2
    assert all(seconds > 0 for seconds in rests)


@pytest.mark.usefixtures("alone")
def test_a_worker_warms_by_itself_unless_it_is_switched_off(
    serve: ServeApp, person: Person, shop, mariadb, redis_port
):
    database = person.database(shop)
    searched(mariadb, person, "warmed by the worker", 3, [database])
    store = redis.Redis(port=redis_port)
    store.delete("search-api:warming:turn")
    entries = f"search-api:search:{person.id}:*"
    with serve(warm_cache=False, cache_search_seconds=1):
        time.sleep(1.5)
        assert store.keys(entries) == []
    with serve(warm_cache=True, cache_search_seconds=2):
        deadline = time.monotonic() + 15
        while not store.keys(entries) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(store.keys(entries)) == 2, (
            "for those who name all their databases and for those who name none"
        )
        assert store.exists("search-api:warming:turn"), "other workers leave it to this one"
