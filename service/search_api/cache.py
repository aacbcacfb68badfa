"""Redis as a cache. Its loss costs speed, never an answer: a failure is a miss, a dead server is left alone a while."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import redis
import structlog
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from search_api import metrics
from search_api.settings import Settings

log = structlog.get_logger()

PREFIX = "search-api:"
REST_SECONDS = 2.0
_MOST_UNDELIVERED = 10_000


def redis_options(settings: Settings) -> dict[str, Any]:
    """How to reach Redis: place, credentials, time limits, verified TLS."""
    tls: dict[str, Any] = {}
    if settings.redis_tls_ca is not None:
        tls = {"ssl": True, "ssl_ca_certs": str(settings.redis_tls_ca), "ssl_check_hostname": True}
    return tls | {
        "host": settings.redis_host,
        "port": settings.redis_port,
        "username": settings.redis_user or None,
        "password": settings.redis_password.get_secret_value() or None,
        "socket_timeout": settings.redis_timeout,
        "socket_connect_timeout": settings.redis_timeout,
    }


class Cache:
    """Byte values with a life. All methods work, as a miss, while Redis is away."""

    def __init__(self, settings: Settings) -> None:
        self._redis = redis.Redis(**redis_options(settings), retry=Retry(NoBackoff(), 1))
        self._resting_until = 0.0
        self._scripts: dict[str, Script] = {}
        self._undelivered: dict[str, Callable[[redis.Redis], Any]] = {}
        self._flights: dict[str, threading.Lock] = {}
        self._flights_lock = threading.Lock()

    def get(self, kind: str, key: str) -> bytes | None:
        """The value, or None."""
        value = cast("bytes | None", self._do(lambda client: client.get(_name(kind, key))))
        metrics.CACHE_OPERATIONS.labels(kind, "miss" if value is None else "hit").inc()
        return value

    def put(self, kind: str, key: str, value: bytes, seconds: int, *, only_if_absent: bool = False) -> None:
        """Keep a value for so many seconds."""
        self._do(lambda client: client.set(_name(kind, key), value, ex=seconds, nx=only_if_absent))
        metrics.CACHE_OPERATIONS.labels(kind, "write").inc()

    def claim(self, kind: str, key: str, seconds: int) -> bool:
        """Whether this caller is the first in so many seconds; nobody is while Redis is away."""
        return self._do(lambda client: client.set(_name(kind, key), b"1", ex=seconds, nx=True)) is True

    def get_or_make(
        self, kind: str, key: str, seconds: int, make: Callable[[], tuple[bytes, bool]]
    ) -> tuple[bytes, bool]:
        """The cached value and True, or what ``make`` returns and False.

        ``make`` returns the value and whether to keep it. Callers in this process that ask for the same key at the same
        time wait for the first instead of all making it.
        """
        found = self.get(kind, key)
        if found is not None:
            return found, True
        with self._flight(kind + key) as waited:
            if waited and (found := self.get(kind, key)) is not None:
                return found, True
            value, keep = make()
            if keep:
                self.put(kind, key, value, seconds)
            return value, False

    def make_once(self, kind: str, key: str, seconds: int, make: Callable[[], tuple[bytes, bool]]) -> bytes:
        """As get_or_make, for a caller who knows that the value was not there a moment ago."""
        with self._flight(kind + key) as waited:
            if waited and (found := self.get(kind, key)) is not None:
                return found
            value, keep = make()
            if keep:
                self.put(kind, key, value, seconds)
            return value

    def script(self, text: str, names: Sequence[str], arguments: Sequence[str | int]) -> list[Any] | None:
        """Run a script inside Redis, by its digest; None while Redis is away."""
        script = self._scripts.setdefault(text, self._redis.register_script(text))
        return cast("list[Any] | None", self._do(lambda client: script(names, arguments, client)))

    def deliver(self, kind: str, key: str, value: bytes, seconds: int) -> None:
        """Keep a value that other workers must see: now if Redis takes it, otherwise as soon as it does."""
        name = _name(kind, key)
        self._undelivered.pop(name, None)
        if self._do(lambda client: client.set(name, value, ex=seconds), even_resting=True) is None:
            self.deliver_later(name, lambda client: client.set(name, value, ex=seconds))

    def deliver_later(self, name: str, action: Callable[["redis.Redis"], Any]) -> None:
        """Do this as soon as Redis answers again; a later action under the same name replaces it."""
        if len(self._undelivered) < _MOST_UNDELIVERED:
            self._undelivered[name] = action

    def deliver_pending(self) -> None:
        """Try what could not be delivered; what fails again stays. Called regularly."""
        for name, action in list(self._undelivered.items()):
            if self._do(action) is None:
                return
            if self._undelivered.get(name) is action:
                del self._undelivered[name]

    def get_many(self, kind: str, keys: Sequence[str]) -> list[bytes | None]:
        """The values, None for each that is not there; one round trip."""
        names = [_name(kind, key) for key in keys]
        found = cast("list[bytes | None] | None", self._do(lambda client: client.mget(names)))
        values: list[bytes | None] = found if found is not None else [None] * len(names)
        hits = sum(value is not None for value in values)
        metrics.CACHE_OPERATIONS.labels(kind, "hit").inc(hits)
        metrics.CACHE_OPERATIONS.labels(kind, "miss").inc(len(values) - hits)
        return values

    def put_many(self, kind: str, values: Mapping[str, bytes], seconds: int) -> None:
        """Keep the values for so many seconds; one round trip."""

        def write(client: "redis.Redis") -> None:
            with client.pipeline(transaction=False) as pipeline:
                for key, value in values.items():
                    pipeline.set(_name(kind, key), value, ex=seconds)
                pipeline.execute()

        self._do(write)
        metrics.CACHE_OPERATIONS.labels(kind, "write").inc(len(values))

    def run_script(self, text: str, keys: Sequence[str], arguments: Sequence[int]) -> Any:
        """As ``script``; the keys are given without the service's prefix."""
        return self.script(text, [PREFIX + key for key in keys], arguments)

    def alive(self) -> bool:
        """Whether Redis answers now."""
        return self._do(lambda client: client.ping()) is True

    def close(self) -> None:
        """Let go of the connections."""
        self._redis.close()

    def _flight(self, key: str) -> "_Flight":
        return _Flight(self._flights, self._flights_lock, key)

    def _do(self, action: Callable[["redis.Redis"], Any], *, even_resting: bool = False) -> Any:
        if time.monotonic() < self._resting_until and not even_resting:
            metrics.REDIS_COMMANDS.labels("skipped").inc()
            return None
        try:
            answer = action(self._redis)
        except redis.RedisError as error:
            self._resting_until = time.monotonic() + REST_SECONDS
            metrics.REDIS_COMMANDS.labels("failed").inc()
            log.warning("redis is away", error=type(error).__name__, resting_seconds=REST_SECONDS)
            return None
        metrics.REDIS_COMMANDS.labels("done").inc()
        return answer


class _Flight:
    """One maker a key: entering gives whether somebody else was making the value meanwhile."""

    def __init__(self, flights: dict[str, threading.Lock], guard: threading.Lock, key: str) -> None:
        self._flights, self._guard, self._key = flights, guard, key
        self._mine = threading.Lock()

    def __enter__(self) -> bool:
        with self._guard:
            self._mine = self._flights.setdefault(self._key, self._mine)
        waited = not self._mine.acquire(blocking=False)
        if waited:
            self._mine.acquire()
        return waited

    def __exit__(self, *_exception: object) -> None:
        with self._guard:
            self._flights.pop(self._key, None)
        self._mine.release()


def _name(kind: str, key: str) -> str:
    return f"{PREFIX}{kind}:{key}"
