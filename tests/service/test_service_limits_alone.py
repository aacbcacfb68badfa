"""Limits while Redis is away: every worker its share, nobody refused who should not be, and back by itself."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from conftest import TwoApps
from search_api.limits.local import LocalWindows
from service_client import Client, Person
from service_processes import find_binary, free_port, running
from test_service_limits import SEARCH, asks_at_once, away_from_the_end_of

TIERS = "free=100/100/50,pro=10000/200/10,enterprise=100000/500/50"


class OwnRedis:
    """A Redis that a test kills, stops and starts again on the same port."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._directory = directory
        self._running = self._start()
        self._process = next(self._running)

    def _start(self):
        command = [
            find_binary("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir",
            str(self._directory),
        ]  # fmt: skip
        with running(command, "redis-server", self._directory / "redis.log", self.answers) as process:
            yield process

    def answers(self) -> bool:
        with redis.Redis(port=self.port, socket_timeout=1) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(timeout=10)
        self._running.close()

    def start(self) -> None:
        self._running = self._start()
        self._process = next(self._running)

    def signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def close(self) -> None:
        self._running.close()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    server = OwnRedis(tmp_path)
    yield server
    server.close()


def ask(app: Client, secret: str):
    return app.call("POST", SEARCH, secret, json={"query": "nginx"})


def degraded(app: Client, secret: str) -> bool:
    answer = ask(app, secret)
    assert answer.status_code == 200, answer.text
    return answer.headers.get("RateLimit-Degraded") == "redis_unavailable"


def until_whole(app: Client, secret: str, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while degraded(app, secret):
        assert time.monotonic() < deadline, "still without Redis"
        time.sleep(0.2)


def test_without_redis_the_workers_together_allow_the_limit_and_say_so(
    two_apps: TwoApps, person: Person, own_redis: OwnRedis
):
    away_from_the_end_of(3600, 90)
    secret = person.secret()
    with two_apps(
        redis_port=own_redis.port, tier_limits=TIERS, burst_window_seconds=3600, limit_share_divisor=2
    ) as apps:
        for number in range(20):
            assert not degraded(apps[number % 2], secret)
        own_redis.kill()
        for app in apps:
            assert degraded(app, secret)
            assert "rate_limit_degraded_total 0.0" not in app.call("GET", "/metrics").text
        alone = asks_at_once(apps, secret, clients=10, each=30)
        assert set(alone) == {200, 429}
        # 80 were left when Redis died, as both workers had seen: 40 for each; two were asked above.
        assert 2 + alone[200] == 80
        refused = ask(apps[0], secret)
        assert refused.headers["RateLimit-Degraded"] == "redis_unavailable"
        assert int(refused.headers["Retry-After"]) > 0

        own_redis.start()
        fresh = person.secret()
        for app in apps:
            until_whole(app, fresh)
        # Redis came back empty. The workers tell it what they know and did alone: the allowance stays one.
        assert [ask(app, secret).status_code for app in apps] == [200, 429], (
            "the first speaks for itself only"
        )


def test_a_redis_that_hangs_costs_no_answer_and_leaves_no_lease(
    two_apps: TwoApps, person: Person, own_redis: OwnRedis
):
    secret = person.secret()
    with two_apps(
        redis_port=own_redis.port,
        tier_limits=TIERS.replace("100/100/50", "9999/9999/6"),
        limit_share_divisor=2,
    ) as apps:
        assert asks_at_once(apps, secret, clients=2, each=3) == {200: 6}
        own_redis.signal(signal.SIGSTOP)
        found: Counter[int] = asks_at_once(apps, secret, clients=6, each=5)
        assert found == {200: 30}
        own_redis.signal(signal.SIGCONT)
        for app in apps:
            until_whole(app, secret)
        time.sleep(1.5)
        with redis.Redis(port=own_redis.port) as store:
            assert [store.zcard(name) for name in store.keys("search-api:live:*")] == []
        assert asks_at_once(apps, secret, clients=6, each=3) == {200: 18}


def test_a_key_revoked_while_redis_is_away_is_dead_and_stays_dead(
    two_apps: TwoApps, person: Person, own_redis: OwnRedis
):
    key = person.key()
    secret = key["secretKey"]
    with two_apps(redis_port=own_redis.port) as apps:
        for app in apps:
            assert ask(app, secret).status_code == 200
        own_redis.signal(signal.SIGSTOP)
        apps[0].data("DELETE", f"/api/v1/keys/{key['apiKey']['id']}", person.token)
        for app in apps:
            assert ask(app, secret).status_code == 401
        own_redis.signal(signal.SIGCONT)
        time.sleep(3.5)
        for app in apps:
            assert ask(app, secret).status_code == 401, (
                "Redis still holds the record, and must not be believed"
            )


def test_a_limit_smaller_than_the_number_of_workers_shuts_nobody_out():
    windows = LocalWindows(divisor=8)
    assert windows.left("x", 3600, 5) == 1
    windows.add("x", 3600)
    assert windows.left("x", 3600, 5) == 0


def test_what_was_done_alone_is_told_once():
    windows = LocalWindows(divisor=2)
    windows.add("x", 3600, 3)
    first = windows.hand_over("x", 3600)
    assert (first.alone, windows.hand_over("x", 3600).alone) == (3, 0)
    windows.take_back("x", first)
    assert windows.hand_over("x", 3600).alone == 3
    windows.learn("x", first.window, 40)
    assert windows.left("x", 3600, 100) == 30
