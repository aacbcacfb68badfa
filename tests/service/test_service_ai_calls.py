# ruff: noqa: S608 (the tests' own ids in the tests' own statements)
"""Calls to the AI: tried again as asked, left alone when broken, counted and paid for exactly."""

import itertools
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import ServeApp
from search_api.ai.breaker import Breaker
from search_api.ai.client import AiCaller
from search_api.ai.errors import AiUnavailableError, Tokens
from search_api.ai.ledger import AiLedger, Call
from search_api.ai.quota import AiQuota
from search_api.cache import Cache
from search_api.database import open_engine
from search_api.services import Services
from service_client import Client
from service_processes import free_port
from service_standin import API_KEY, MODEL, standin_server

pytestmark = pytest.mark.usefixtures("client")  # the schema is complete
SEARCH = "/api/v1/search"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def standin(tmp_path_factory):
    with standin_server(tmp_path_factory.mktemp("standin")) as at:
        yield at


def ask(client: Client, key: str, word: str = "plenty", **body):
    """A semantic search that no cache can answer."""
    query = f"web server {word}{next(_numbers)}"
    body = {"query": query, "searchMode": "semantic", "tables": ["packages"]} | body
    return client.data("POST", SEARCH, key, json=body)


def rows_of(mariadb, user_id: str):
    return mariadb.run(
        f"SELECT * FROM search_api.ai_calls WHERE user_id = '{user_id}' ORDER BY created_at, id"
    )


def metric(client: Client, name: str) -> float:
    for line in client.call("GET", "/metrics").text.splitlines():
        if line.startswith(name + " "):
            return float(line.split()[-1])
    return 0.0


def test_the_ledger_holds_every_call_that_arrived_once_and_what_it_cost(
    serve: ServeApp, standin, shop, mariadb
):
    prices = {"ai_embedding_price": 0.13, "ai_prompt_price": 2.5, "ai_completion_price": 10}
    quick = {"ai_timeout": 0.5, "ai_deadline": 2, "ai_retries": 2, "ai_breaker_failures": 50}
    with serve(**standin.settings, **prices, **quick) as served:
        user = served.register()
        user.database(shop)
        key = user.secret()
        key_id = user.key(name="another")["apiKey"]["id"]
        standin.begin()
        for fault, times in (
            ("none", None),
            ("error", 1),
            ("error", None),
            ("wrong_dimensions", None),
            ("bad_json", None),
            ("down", 1),
        ):
            standin.switch(fault, **({"times": times} if times else {}))
            ask(served, key)
        calls = standin.calls()
    rows = rows_of(mariadb, user.id)
    assert len(rows) == len(calls) == 1 + 2 + 3 + 1 + 1 + 2
    assert Counter(row["outcome"] for row in rows) == {
        "ok": 3,
        "server_error": 4,
        "nonsense": 2,
        "unreachable": 1,
    }
    assert sum(row["prompt_tokens"] for row in rows) == sum(call["prompt_tokens"] for call in calls) > 0
    for row in rows:
        assert row["cost_nano_usd"] == round(row["prompt_tokens"] * 130)
        assert (row["operation"], row["model"], row["completion_tokens"]) == ("embed", MODEL, 0)
        assert row["milliseconds"] > 0
        assert row["api_key_id"] not in (None, key_id)


def test_a_call_that_never_arrived_is_not_in_the_ledger(serve, standin, shop, mariadb):
    settings = standin.settings | {"ai_base_url": f"http://127.0.0.1:{free_port()}/v1"}
    with serve(**settings) as served:
        user = served.register()
        user.database(shop)
        assert ask(served, user.secret())["degraded"] == ["ai_unavailable"]
    assert rows_of(mariadb, user.id) == []


def test_the_ledger_waits_for_mysql_and_writes_nothing_twice(make_settings, mariadb, person):
    call = Call(person.id, "0" * 36, "embed", MODEL, "ok", Tokens(5), 100, 1.5)
    away = AiLedger(open_engine(make_settings(database_port=free_port())), 60)
    away.add(call)
    away.flush()
    assert rows_of(mariadb, person.id) == []
    away._engine = open_engine(make_settings())
    away.flush()
    away.add(call)
    away.flush()
    assert [row["prompt_tokens"] for row in rows_of(mariadb, person.id)] == [5]


def test_retry_after_is_waited_for_within_the_deadline(serve, standin, shop):
    with serve(**standin.settings) as served:
        user = served.register()
        user.database(shop)
        key = user.secret()
        standin.begin("limited", seconds=1, times=1)
        found = ask(served, key)
        first, second = standin.calls()
    assert (found["modeUsed"], found["degraded"]) == ("semantic", [])
    assert (first["status"], second["status"]) == (429, 200)
    assert 1.0 <= second["at"] - first["at"] < 3


def test_a_wait_beyond_the_deadline_is_not_begun_and_nobody_calls_meanwhile(serve, standin, shop):
    with serve(**standin.settings, ai_timeout=1, ai_deadline=1.5) as served:
        user = served.register()
        user.database(shop)
        key = user.secret()
        standin.begin("limited", seconds=4, times=1)
        started = time.monotonic()
        assert [ask(served, key)["degraded"] for _ in range(3)] == [["ai_unavailable"]] * 3
        assert len(standin.calls()) == 1
        assert time.monotonic() - started < 4, "or the wait is over already"
        time.sleep(max(0.0, started + 4.3 - time.monotonic()))
        assert ask(served, key)["degraded"] == []


@pytest.mark.parametrize("fault", ["hang", "drip", "slow"])
def test_no_slowness_costs_more_than_the_deadline(serve, standin, shop, fault):
    with serve(**standin.settings, ai_timeout=0.7, ai_deadline=1.0, ai_retries=5) as served:
        user = served.register()
        user.database(shop)
        key = user.secret()
        standin.begin(fault, seconds=20)
        started = time.monotonic()
        found = ask(served, key)
        took = time.monotonic() - started
        standin.switch("none")
    assert found["degraded"] == ["ai_timeout"]
    assert 0.6 < took < 3, "5 further tries would take 5 s; on an idle computer it is 1.0 s"


def test_a_wrong_key_is_not_tried_again(serve, standin, shop, mariadb):
    with serve(**(standin.settings | {"ai_api_key": "sk-another"})) as served:
        user = served.register()
        user.database(shop)
        assert ask(served, user.secret())["degraded"] == ["ai_unavailable"]
    assert [row["outcome"] for row in rows_of(mariadb, user.id)] == ["misconfigured"]


def test_the_breaker_opens_after_failures_in_a_row_and_closes_after_one_good_call(serve, standin, shop):
    breaker = {"ai_breaker_failures": 3, "ai_breaker_rest": 2, "ai_retries": 0}
    with serve(**standin.settings, **breaker) as served:
        user = served.register()
        user.database(shop)
        key = user.secret()
        standin.begin("error")
        degraded = [ask(served, key)["degraded"] for _ in range(6)]
        assert degraded == [["ai_unavailable"]] * 6
        assert len(standin.calls()) == 3, "it is left alone after the third"
        assert metric(served, "ai_breaker_state") == 2
        ready = served.call("GET", "/health/ready")
        assert (ready.status_code, ready.json()["status"], ready.json()["degraded"]) == (
            200,
            "degraded",
            ["ai"],
        )
        assert served.data("GET", "/api/v1/status")["status"] == "degraded"
        time.sleep(2.1)
        ask(served, key)
        ask(served, key)
        assert len(standin.calls()) == 4, "one call finds out, and it is left alone again"
        standin.switch("none")
        time.sleep(2.1)
        assert ask(served, key)["modeUsed"] == "semantic"
        assert served.call("GET", "/health/ready").json()["status"] == "ready"
        assert metric(served, "ai_breaker_state") == 0
        assert ask(served, key)["modeUsed"] == "semantic"


def test_a_half_open_breaker_lets_one_call_through():
    breaker = Breaker(failures=1, rest=0.05)
    assert breaker.enter()
    breaker.failed()
    assert not breaker.enter()
    time.sleep(0.06)
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: breaker.enter(), range(50))) == 1
    assert breaker.state == "half_open"
    breaker.succeeded()
    assert breaker.enter()


def test_a_keys_quota_is_exact_at_its_edge_on_two_machines(make_settings):
    _not_at_the_end_of_an_hour()
    quotas = [AiQuota(Cache(make_settings()), 4) for _ in range(2)]
    with ThreadPoolExecutor(20) as pool:
        taken = list(pool.map(lambda n: quotas[n % 2].take("key-at-its-edge", "free"), range(300)))
    assert sum(taken) == 100
    assert quotas[0].take("another key", "free")


def test_without_redis_each_worker_allows_its_share_of_what_is_left(make_settings):
    _not_at_the_end_of_an_hour()
    settings = make_settings()
    quota = AiQuota(Cache(settings), 4)
    for _ in range(60):
        assert quota.take("key-of-two-worlds", "free")
    quota._cache = Cache(make_settings(redis_port=free_port()))
    assert sum(quota.take("key-of-two-worlds", "free") for _ in range(50)) == 10
    assert sum(quota.take("key-never-seen", "free") for _ in range(50)) == 25


def test_a_search_beyond_the_quota_says_so_and_calls_nobody(serve, make_settings, standin, shop):
    _not_at_the_end_of_an_hour()
    with serve(**standin.settings) as served:
        user = served.register()
        user.database(shop)
        made = user.key()
        quota = AiQuota(Cache(make_settings()), 4)
        for _ in range(99):
            assert quota.take(made["apiKey"]["id"], "free")
        standin.begin()
        assert ask(served, made["secretKey"])["degraded"] == []
        beyond = ask(served, made["secretKey"])
        assert (beyond["modeUsed"], beyond["degraded"]) == ("natural", ["ai_quota"])
        assert len(standin.calls()) == 1


def test_secrets_and_texts_stay_out_of_the_logs(serve, standin, shop, capfd):
    with serve(**standin.settings, log_level="debug", ai_retries=0) as served:
        user = served.register()
        user.database(shop)
        key = user.secret()
        for fault in ("none", "error", "bad_json", "down"):
            standin.switch(fault)
            ask(served, key, word="confidential")
        standin.switch("none")
    told = "".join(capfd.readouterr())
    assert '"message": "the AI did not help"' in told
    assert API_KEY not in told
    assert "confidential" not in told
    assert "scalable" not in told


def test_what_is_asked_of_the_ai_is_measured(serve, standin, shop):
    with serve(**standin.settings) as served:
        user = served.register()
        user.database(shop)
        standin.begin()
        names = (
            'ai_requests_total{operation="embed",outcome="ok"}',
            'ai_request_duration_seconds_count{operation="embed"}',
            'ai_tokens_total{direction="in"}',
        )
        before = [metric(served, name) for name in names]
        ask(served, user.secret())
        after = [metric(served, name) for name in names]
        (call,) = standin.calls()
    assert [new - old for old, new in zip(before, after, strict=True)] == [1, 1, call["prompt_tokens"]]


def test_better_wordings_come_from_the_ai_once(client, standin, make_settings):
    services = Services(make_settings(**standin.settings))
    try:
        user = client.register()
        caller = AiCaller(user.id, "0" * 36, "free")
        standin.begin()
        assert services.ai.suggest(caller, "fast web server") == ["server web fast", "server fast web"]
        services.ai.suggest(caller, "fast web server")
        assert len(standin.calls()) == 1
        standin.switch("wrong_count")
        with pytest.raises(AiUnavailableError, match="ai_unavailable"):
            services.ai.suggest(caller, "another query")
    finally:
        services.close()


def _not_at_the_end_of_an_hour() -> None:
    left = 3600 - time.time() % 3600
    if left < 20:
        time.sleep(left + 1)
