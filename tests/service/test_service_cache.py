# ruff: noqa: S608 (the tests' own ids in the tests' own statements)
import threading
import time

import pytest
from conftest import MakeSettings
from search_api.cache import Cache
from search_api.database import open_engine
from search_api.ids import new_id
from search_api.records import Made, SearchRecords
from search_api.usage import UsageCounter


def test_callers_at_the_same_time_make_a_value_once(make_settings: MakeSettings):
    cache, made, answers = Cache(make_settings()), [], []

    def make() -> tuple[bytes, bool]:
        made.append(1)
        time.sleep(0.2)
        return b"value", True

    key = new_id()
    threads = [
        threading.Thread(target=lambda: answers.append(cache.get_or_make("test", key, 5, make)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert len(made) == 1
    assert sorted(answers) == [(b"value", False)] + [(b"value", True)] * 7
    cache.close()


def test_what_is_not_to_be_kept_is_not_kept(make_settings: MakeSettings):
    cache, key = Cache(make_settings()), new_id()
    assert cache.get_or_make("test", key, 5, lambda: (b"partial", False)) == (b"partial", False)
    assert cache.get("test", key) is None
    cache.close()


def test_a_dead_redis_is_left_alone_for_a_while(make_settings: MakeSettings):
    cache = Cache(make_settings(redis_port=1))
    assert cache.get("test", "key") is None
    started = time.perf_counter()
    for _ in range(200):
        cache.put("test", "key", b"value", 5)
        assert cache.get("test", "key") is None
    assert time.perf_counter() - started < 1
    assert not cache.alive()


def test_a_mark_is_not_overwritten_by_a_slow_reader(make_settings: MakeSettings):
    cache, key = Cache(make_settings()), new_id()
    cache.put("test", key, b"mark", 5)
    cache.put("test", key, b"stale", 5, only_if_absent=True)
    assert cache.get("test", key) == b"mark"
    cache.close()


@pytest.mark.usefixtures("client")
def test_uses_are_kept_while_mysql_is_away(make_settings: MakeSettings, person, mariadb):
    key = person.key()["apiKey"]["id"]
    dead = open_engine(make_settings(database_port=1, connect_timeout=0.5))
    counter = UsageCounter(dead, 60)
    counter.count(key, "192.0.2.1")
    counter.flush()
    counter.count(key, "192.0.2.2")
    counter._engine = open_engine(make_settings())
    counter.flush()
    row = mariadb.run(f"SELECT usage_count, last_used_ip FROM search_api.api_keys WHERE id = '{key}'")[0]
    assert row == {"usage_count": 2, "last_used_ip": "192.0.2.2"}
    counter._engine.dispose()


@pytest.mark.usefixtures("client")
def test_a_batch_of_records_that_comes_again_holds_nothing_up(make_settings: MakeSettings, person, mariadb):
    engine = open_engine(make_settings())
    records = SearchRecords(engine, 60, lambda: None)
    made = [Made(person.id, new_id(), text, "natural", [], 1, 2.0, False, "ok") for text in ("one", "two")]
    records.add(made[0])
    records.flush()
    for again in made:  # the first was written, but its commit was not confirmed
        records.add(again)
    records.flush()
    rows = mariadb.run(
        f"SELECT query_text FROM search_api.search_records WHERE user_id = '{person.id}' ORDER BY query_text"
    )
    assert [row["query_text"] for row in rows] == ["one", "two"]
    engine.dispose()
