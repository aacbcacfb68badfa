"""Limits of API keys, with Redis: exact over two processes, in one round trip."""

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import pymysql
import pytest
import redis
from conftest import MakeSettings, ServeApp, TwoApps
from search_api.key_format import stored_hash
from service_client import Client, Person

SEARCH = "/api/v1/search"
REAL = "free=1000/50/3,pro=10000/200/10,enterprise=100000/500/50"
PREFIX = "search-api:"


@pytest.fixture
def store(redis_port: int) -> Iterator[redis.Redis]:
    with redis.Redis(port=redis_port) as connection:
        yield connection


def away_from_the_end_of(window: int, seconds: int) -> None:
    """Wait until a window of so many seconds has at least this much of it left."""
    left = window - time.time() % window
    if left < seconds:
        time.sleep(left + 0.05)


def asks_at_once(apps: tuple[Client, ...], secret: str, *, clients: int, each: int) -> Counter[int]:
    """Statuses of so many clients, spread over the apps, that each ask so many times as fast as they can."""

    def ask(number: int) -> list[int]:
        app = Client(apps[number % len(apps)].base)
        return [app.call("POST", SEARCH, secret, json={"query": "nginx"}).status_code for _ in range(each)]

    with ThreadPoolExecutor(clients) as executor:
        return Counter(itertools.chain.from_iterable(executor.map(ask, range(clients))))


def statements(client: Client) -> float:
    lines = client.call("GET", "/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("sql_statements_total{"))


@pytest.mark.parametrize("round_number", range(2))
def test_twenty_clients_over_two_processes_get_exactly_the_burst(
    two_apps: TwoApps, person: Person, round_number: int
):
    with two_apps(tier_limits=REAL.replace("/3,", "/50,"), burst_window_seconds=600) as apps:
        away_from_the_end_of(600, 40)
        assert asks_at_once(apps, person.secret(), clients=20, each=6) == {200: 50, 429: 70}, round_number


def test_twenty_clients_over_two_processes_get_exactly_the_hour(
    two_apps: TwoApps, person: Person, store: redis.Redis, make_settings: MakeSettings
):
    short = "free=60/9999/50,pro=10000/200/10,enterprise=100000/500/50"
    with two_apps(tier_limits=short) as apps:
        away_from_the_end_of(3600, 40)
        assert asks_at_once(apps, person.secret(), clients=20, each=5) == {200: 60, 429: 40}
    secret = person.secret()
    counter = f"{PREFIX}hour:{stored_hash(secret, make_settings().pepper)}:{int(time.time()) // 3600}"
    with two_apps(tier_limits=REAL.replace("50/3", "5000/50")) as apps:
        store.set(counter, 977, ex=3600)
        assert asks_at_once(apps, secret, clients=20, each=5) == {200: 23, 429: 77}
        assert store.get(counter) == b"1000"


def test_a_real_burst_window_is_ten_seconds(
    serve: ServeApp, person: Person, store: redis.Redis, make_settings: MakeSettings
):
    with serve(tier_limits=REAL) as app:
        away_from_the_end_of(10, 2)
        secret = person.secret()
        answer = app.call("POST", SEARCH, secret, json={"query": "nginx"})
        assert '"burst";q=50;w=10' in answer.headers["ratelimit-policy"]
        counter = f"{PREFIX}burst:{stored_hash(secret, make_settings().pepper)}:{int(time.time()) // 10}"
        assert store.get(counter) == b"1"


def test_a_burst_is_over_with_its_window(serve: ServeApp, person: Person):
    with serve(tier_limits=REAL, burst_window_seconds=4) as app:
        secret = person.secret()
        away_from_the_end_of(4, 3)
        statuses = [app.call("POST", SEARCH, secret, json={"query": "nginx"}).status_code for _ in range(55)]
        assert statuses == [200] * 50 + [429] * 5
        away_from_the_end_of(4, 4)
        assert app.call("POST", SEARCH, secret, json={"query": "nginx"}).status_code == 200


def test_what_the_headers_say(serve: ServeApp, person: Person):
    with serve(tier_limits=REAL.replace("1000/50", "5/4"), burst_window_seconds=600) as app:
        away_from_the_end_of(600, 15)
        secret = person.secret()
        good = app.call(
            "POST", SEARCH, secret, json={"query": "nginx"}, headers={"Origin": "https://a.example"}
        )
        names = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-tier", "ratelimit-policy")
        assert [good.headers[name] for name in names] == [
            "5", "4", "free", '"burst";q=4;w=600, "hour";q=5;w=3600',
        ]  # fmt: skip
        reset = int(good.headers["x-ratelimit-reset"])
        assert reset % 3600 == 0
        assert 0 < reset - time.time() <= 3600
        name, remaining, left = good.headers["ratelimit"].split(";")
        assert (name, remaining) == ('"hour"', "r=4")
        assert abs(int(left.removeprefix("t=")) - (reset - time.time())) < 5
        assert "ratelimit-degraded" not in good.headers
        bad = app.call("POST", SEARCH, secret, json={"query": ""})
        assert (bad.status_code, bad.headers["x-ratelimit-remaining"]) == (400, "3")
        lost = {"query": "x", "databases": ["01890000-0000-7000-8000-000000000000"]}
        assert app.call("POST", SEARCH, secret, json=lost).headers["x-ratelimit-remaining"] == "2"
        nothing = app.call("POST", SEARCH, person.secret(permissions=["analytics"]), json={"query": "x"})
        assert (nothing.status_code, nothing.headers["x-ratelimit-remaining"]) == (403, "4")
        assert "x-ratelimit-limit" not in app.call("POST", SEARCH, secret[:-1] + "0", json={}).headers
        app.call("POST", SEARCH, secret, json={"query": "nginx"})
        refused = app.call("POST", SEARCH, secret, json={"query": "nginx"})
        error = refused.json()["error"]
        assert (refused.status_code, error["code"]) == (429, "RATE_LIMIT_EXCEEDED")
        details = error["details"]
        assert set(details) == {"retryAfter", "limit", "remaining", "tier", "upgradeMessage"}
        assert (details["limit"], details["remaining"], details["tier"]) == (4, 0, "free")
        assert refused.headers["retry-after"] == str(details["retryAfter"])
        assert 0 < details["retryAfter"] <= 600
        assert refused.headers["ratelimit"].startswith('"burst";r=0;t=')
        assert [refused.headers[name] for name in names[:3]] == ["4", "0", "free"]


def test_browsers_may_read_the_headers(serve: ServeApp, person: Person):
    with serve(cors_origins="https://a.example") as app:
        answer = app.call(
            "POST", SEARCH, person.secret(), json={"query": "x"}, headers={"Origin": "https://a.example"}
        )
    exposed = answer.headers["access-control-expose-headers"]
    assert {"X-RateLimit-Limit", "RateLimit", "RateLimit-Policy", "Retry-After"} <= set(exposed.split(", "))


@pytest.fixture
def held_table(mariadb, person: Person, shop) -> Iterator[threading.Event]:
    """The person's table is locked, so that searches wait, until the event is set."""
    person.database(shop)
    let_go, locked = threading.Event(), threading.Event()

    def hold() -> None:
        connection = pymysql.connect(unix_socket=str(mariadb.unix_socket), user="root", database="shop_a")
        with connection, connection.cursor() as cursor:
            cursor.execute("LOCK TABLES packages WRITE")
            locked.set()
            let_go.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert locked.wait(10)
    yield let_go
    let_go.set()
    holder.join(timeout=10)


def test_only_so_many_at_once_and_a_sequential_client_never_sees_it(
    two_apps: TwoApps, person: Person, held_table: threading.Event
):
    secret = person.secret()
    with two_apps(
        tier_limits=REAL.replace("/50/", "/5000/"), cache_search_seconds=0, customer_statement_timeout=5
    ) as apps:

        def ask(number: int) -> tuple[int, str, dict[str, Any]]:
            app = Client(apps[number % 2].base)
            answer = app.call("POST", SEARCH, secret, json={"query": "nginx", "tables": ["packages"]})
            if answer.status_code == 429:
                return 429, answer.headers["retry-after"], answer.json()["error"]["details"]
            held_table.set()
            return answer.status_code, "", {}

        with ThreadPoolExecutor(6) as executor:
            waiting = [executor.submit(ask, number) for number in range(6)]
            # Three wait for the table; the others are refused and done.
            assert len(list(itertools.islice(as_completed(waiting, timeout=20), 3))) == 3
            held_table.set()
            answers = [future.result() for future in waiting]
        assert Counter(status for status, _, _ in answers) == {200: 3, 429: 3}
        assert all(
            after == "1" and details["retryAfter"] == 1 for status, after, details in answers if status == 429
        )
        for number in range(80):
            status = (
                apps[number % 2].call("POST", SEARCH, secret, json={"query": f"nginx {number}"}).status_code
            )
            assert status == 200


def test_a_lease_of_a_crashed_worker_ends_by_itself(
    client: Client, serve: ServeApp, person: Person, store: redis.Redis, make_settings: MakeSettings
):
    secret = person.secret()
    leases = f"{PREFIX}live:{stored_hash(secret, make_settings().pepper)}"
    with serve(tier_limits=REAL) as app:
        ends = int(time.time() * 1000) + 1500
        store.zadd(leases, {"a": ends, "b": ends, "c": ends})
        assert app.fault("POST", SEARCH, secret, json={"query": "x"}) == (429, "RATE_LIMIT_EXCEEDED")
        time.sleep(1.6)
        assert app.call("POST", SEARCH, secret, json={"query": "x"}).status_code == 200
    assert store.zcard(leases) == 0, "the answered request let go of its own"
    assert client.call("GET", "/health").status_code == 200


def commands_of(store: redis.Redis) -> Counter[str]:
    """Calls by clients so far: what scripts call inside Redis is no round trip and is told apart."""
    stats: dict[str, Any] = store.info("commandstats")
    inside = {"get", "set", "time", "zadd", "zcard", "zremrangebyscore", "pexpire"}
    return Counter(
        {name.removeprefix("cmdstat_"): found["calls"] for name, found in stats.items()
         if name.removeprefix("cmdstat_") not in inside | {"info"}}
    )  # fmt: skip


def test_a_cached_search_is_one_round_trip_to_redis_and_none_to_mysql(
    serve: ServeApp, person: Person, shop, store: redis.Redis
):
    person.database(shop)
    secret = person.secret()
    with serve(usage_flush_seconds=600, records_flush_seconds=600) as app:
        assert app.data("POST", SEARCH, secret, json={"query": "scalable"})["cache"] == "miss"
        with store.monitor() as monitor:
            app.call("GET", "/health")
            before, sql = commands_of(store), statements(app)
            found = [app.data("POST", SEARCH, secret, json={"query": "scalable"})["cache"] for _ in range(10)]
            assert found == ["hit"] * 10
            assert commands_of(store) - before == {"evalsha": 10}
            assert statements(app) == sql
            app.data("POST", SEARCH, secret, json={"query": "powerful"})
            sent = commands_of_clients(monitor, store)
    assert sent[:10] == ["EVALSHA"] * 10
    assert sent[10:] == ["EVALSHA", "SET", "ZREM"], "admission, the answer to keep, the end of the lease"


def commands_of_clients(monitor: Any, store: redis.Redis) -> list[str]:
    """What clients sent since the monitor began, but for the tests' own connection."""
    store.echo("the end")
    sent: list[str] = []
    for command in monitor.listen():
        words = command["command"].split(" ")
        if command["client_type"] == "lua" or words[0].upper() in ("INFO", "CLIENT", "HELLO"):
            continue
        if words[0].upper() == "ECHO":
            return sent
        sent.append(words[0].upper())
    raise AssertionError("the monitor ended")


def test_a_script_that_redis_forgot_is_sent_again(client: Client, person: Person, store: redis.Redis):
    secret = person.secret()
    for _ in range(2):
        assert client.call("POST", SEARCH, secret, json={"query": "x"}).status_code == 200
        store.script_flush()


def test_what_was_taken_away_is_never_answered_from_the_cache(two_apps: TwoApps, person: Person, shop):
    with two_apps() as apps:
        database = person.database(shop)
        key = person.key()
        secret, question = key["secretKey"], {"query": "scalable"}
        for app in apps:
            for _ in range(2):
                found = app.data("POST", SEARCH, secret, json=question)
        assert (found["cache"], found["totalCount"]) == ("hit", 1)
        changed = {"database": "shop_b"}
        apps[0].data("PUT", f"/api/v1/databases/{database}", person.token, json=changed)
        for app in apps:
            found = app.data("POST", SEARCH, secret, json=question)
            assert json.dumps(found["results"]).count('"packages"') == 0, "the old database's answer"
        apps[1].data("DELETE", f"/api/v1/databases/{database}", person.token)
        for app in apps:
            assert app.data("POST", SEARCH, secret, json=question)["databases"] == []
            assert app.fault("POST", SEARCH, secret, json=question | {"databases": [database]}) == (
                404, "CONNECTION_NOT_FOUND",
            )  # fmt: skip
        apps[0].data("DELETE", f"/api/v1/keys/{key['apiKey']['id']}", person.token)
        for app in apps:
            assert app.fault("POST", SEARCH, secret, json=question) == (401, "INVALID_API_KEY")


def test_two_owners_never_share_a_cached_answer(client: Client, person: Person, other: Person, shop):
    person.database(shop)
    question = {"query": "scalable"}
    for _ in range(2):
        assert client.data("POST", SEARCH, person.secret(), json=question)["totalCount"] == 1
    assert client.data("POST", SEARCH, other.secret(), json=question)["totalCount"] == 0
