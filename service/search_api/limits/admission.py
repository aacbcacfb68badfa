"""Admits requests with an API key: one call to Redis decides, counts and may bring a cached answer along."""

import hashlib
import os
import time
from dataclasses import dataclass
from typing import Any, Literal, cast

import structlog

from search_api import metrics
from search_api.cache import PREFIX, REST_SECONDS, Cache
from search_api.errors import ApiError
from search_api.limits.local import LocalWindows, Seen
from search_api.limits.redis_link import LinkError, NoScriptError, RedisLink
from search_api.limits.scripts import ADMIT
from search_api.limits.standing import Standing, refusal
from search_api.limits.tiers import Tier
from search_api.settings import Settings

log = structlog.get_logger()

HOUR = 3600
Refused = Literal["address", "unknown", "changed", "expired", "hour", "burst", "concurrent"]
_RETRY_CONCURRENT = 1
_DIGEST = hashlib.sha1(ADMIT.encode(), usedforsecurity=False).hexdigest()
_NOT_COUNTED = (b"address", b"unknown", b"changed", b"expired")
_KEY_HIT, _KEY_MISS = (metrics.CACHE_OPERATIONS.labels("key", found) for found in ("hit", "miss"))
_SEARCH_HIT, _SEARCH_MISS = (metrics.CACHE_OPERATIONS.labels("search", found) for found in ("hit", "miss"))


@dataclass(frozen=True)
class Ask:
    """A request to judge. ``address`` is empty when its failures do not count; ``question`` is a digest or empty.

    ``record`` is what MySQL says about the key, when Redis did not know; ``keep_seconds`` is how long Redis may
    keep it.
    """

    key_hash: str
    address: str
    question: str = ""
    record: str = ""
    keep_seconds: int = 0


@dataclass(slots=True)
class Verdict:
    """What became of it. ``connections`` names the state of the owner's connections, empty when it is not known."""

    outcome: Refused | Literal["ok"]
    key_hash: str
    record: str = ""
    in_hour: int = 0
    in_burst: int = 0
    now_ms: int = 0
    connections: str = ""
    cached: bytes | None = None
    lease: str = ""
    alone: bool = False


class Admissions:
    """One per worker; its methods run on the event loop."""

    def __init__(self, settings: Settings, cache: Cache) -> None:
        self._settings = settings
        self._cache = cache
        self._tiers = settings.tiers
        self._tier_text = settings.tier_limits
        self._link = RedisLink(settings)
        self._resting_until = 0.0
        self._windows = LocalWindows(settings.limit_share_divisor)
        self._alone: dict[str, int] = {}

    async def admit(self, ask: Ask) -> Verdict:
        """Judge a request by one call to Redis, or alone while Redis is away.

        Alone, the outcome is ``changed`` until ``record`` is given: the key has to be looked up each time.
        """
        if time.monotonic() >= self._resting_until:
            verdict = await self._by_redis(ask)
            if verdict is not None:
                return verdict
        else:
            metrics.REDIS_COMMANDS.labels("skipped").inc()
        return self._by_itself(ask)

    async def release(self, verdict: Verdict) -> None:
        """The request is over: let go of its lease. One command, and none for an answer from the cache."""
        lease, verdict.lease = verdict.lease, ""
        if not lease:
            return
        if verdict.alone:
            self._alone[verdict.key_hash] -= 1
            if not self._alone[verdict.key_hash]:
                del self._alone[verdict.key_hash]
            return
        name = _leases(verdict.key_hash)
        if time.monotonic() >= self._resting_until:
            try:
                await self._link.call("ZREM", name, lease)
            except LinkError as error:
                self._rest(error)
            else:
                metrics.REDIS_DONE.inc()
                return
        self._cache.deliver_later(lease, lambda client: client.zrem(name, lease))

    def close(self) -> None:
        """Let go of the connection."""
        self._link.close()

    def standing(self, verdict: Verdict, tier_name: str) -> Standing:
        """The hour's allowance, or the one that was exceeded."""
        tier, window = self._tiers[tier_name], self._settings.burst_window_seconds
        name, limit, used, length = "hour", tier.hourly, verdict.in_hour, HOUR
        if verdict.outcome == "burst":
            name, limit, used, length = "burst", tier.burst, verdict.in_burst, window
        seconds = verdict.now_ms // 1000
        reset_in = length - seconds % length
        return Standing(
            name=name,
            limit=limit,
            remaining=max(0, limit - used),
            reset_in=reset_in,
            reset_at=seconds + reset_in,
            tier=tier_name,
            policy=f'"burst";q={tier.burst};w={window}, "hour";q={tier.hourly};w={HOUR}',
            degraded=verdict.alone,
        )

    def refuse(self, verdict: Verdict, tier_name: str) -> ApiError:
        """The 429 for a verdict of ``hour``, ``burst`` or ``concurrent``."""
        standing, tier = self.standing(verdict, tier_name), self._tiers[tier_name]
        if verdict.outcome == "concurrent":
            message = f"The {tier_name} tier runs {tier.concurrent} requests at once; wait for one to end."
            error = refusal(standing, message, self._upgrade(tier_name))
            return _retry_soon(error)
        window = "hour" if verdict.outcome == "hour" else f"{self._settings.burst_window_seconds} seconds"
        message = f"The {tier_name} tier allows {standing.limit} requests in {window}."
        return refusal(standing, message, self._upgrade(tier_name))

    def _upgrade(self, tier_name: str) -> str:
        names = list(self._tiers)
        later = names[names.index(tier_name) + 1 :]
        if not later:
            return ""
        tier = self._tiers[later[0]]
        return (
            f"The {later[0]} tier allows {tier.hourly} requests an hour, {tier.concurrent} of them at once."
        )

    async def _by_redis(self, ask: Ask) -> Verdict | None:
        lease = os.urandom(8).hex()
        window = self._settings.burst_window_seconds
        hour = self._windows.hand_over(f"hour:{ask.key_hash}", HOUR)
        burst = self._windows.hand_over(f"burst:{ask.key_hash}", window)
        failed = f"{PREFIX}limit:failed_authentication:{ask.address}:" if ask.address else ""
        try:
            answer = await self._run(
                f"{PREFIX}key:{ask.key_hash}", f"{PREFIX}hour:{ask.key_hash}:", f"{PREFIX}burst:{ask.key_hash}:",
                _leases(ask.key_hash),
                PREFIX, failed, self._settings.failed_authentications_per_minute, ask.record, ask.keep_seconds,
                self._tier_text, window, ask.question, lease, int(self._settings.lease_seconds * 1000),
                hour.window, hour.used, hour.alone, burst.window, burst.used, burst.alone,
            )  # fmt: skip
        except LinkError as error:
            self._rest(error)
            self._take_back(ask, hour, burst)
            # Redis may still run the call when it wakes: then this lease is nobody's.
            name = _leases(ask.key_hash)
            self._cache.deliver_later(lease, lambda client: client.zrem(name, lease))
            return None
        metrics.REDIS_DONE.inc()
        if answer[0] in _NOT_COUNTED:
            self._take_back(ask, hour, burst)
        return self._read(ask, answer, lease)

    def _take_back(self, ask: Ask, hour: Seen, burst: Seen) -> None:
        self._windows.take_back(f"hour:{ask.key_hash}", hour)
        self._windows.take_back(f"burst:{ask.key_hash}", burst)

    async def _run(self, *arguments: str | int) -> list[Any]:
        try:
            answer = await self._link.call("EVALSHA", _DIGEST, 4, *arguments)
        except NoScriptError:
            answer = await self._link.call("EVAL", ADMIT, 4, *arguments)
        return cast("list[Any]", answer)

    def _read(self, ask: Ask, answer: list[Any], lease: str) -> Verdict:
        outcome, record, in_hour, in_burst, now_ms, *admitted = answer
        verdict = Verdict(outcome.decode(), ask.key_hash, record.decode(), in_hour, in_burst, now_ms)
        if admitted:
            state, verdict.cached, leased = admitted
            verdict.connections = state.decode()
            verdict.lease = lease if leased else ""
        if in_hour:
            seconds = now_ms // 1000
            self._windows.learn(f"hour:{ask.key_hash}", seconds // HOUR, in_hour)
            window = self._settings.burst_window_seconds
            self._windows.learn(f"burst:{ask.key_hash}", seconds // window, in_burst)
        (_KEY_MISS if outcome in (b"unknown", b"changed") else _KEY_HIT).inc()
        if ask.question and outcome == b"ok":
            (_SEARCH_MISS if verdict.cached is None else _SEARCH_HIT).inc()
        return verdict

    def _by_itself(self, ask: Ask) -> Verdict:
        verdict = Verdict("changed", ask.key_hash, now_ms=int(time.time() * 1000), alone=True)
        if not ask.record:
            return verdict
        metrics.LIMITED_ALONE.inc()
        verdict.record = ask.record
        _, _, tier_name, _, ends = ask.record.split("|")
        if ends and verdict.now_ms >= int(ends):
            verdict.outcome = "expired"
            return verdict
        self._judge_alone(verdict, self._tiers[tier_name])
        return verdict

    def _judge_alone(self, verdict: Verdict, tier: Tier) -> None:
        window, key_hash = self._settings.burst_window_seconds, verdict.key_hash
        in_hour = self._windows.left(f"hour:{key_hash}", HOUR, tier.hourly)
        in_burst = self._windows.left(f"burst:{key_hash}", window, tier.burst)
        running = self._alone.get(key_hash, 0)
        verdict.in_hour, verdict.in_burst = tier.hourly - in_hour, tier.burst - in_burst
        if not in_hour:
            verdict.outcome = "hour"
        elif not in_burst:
            verdict.outcome = "burst"
        elif running >= max(1, tier.concurrent // self._settings.limit_share_divisor):
            verdict.outcome = "concurrent"
        else:
            verdict.outcome, verdict.lease = "ok", "alone"
            verdict.in_hour += 1
            self._windows.add(f"hour:{key_hash}", HOUR)
            self._windows.add(f"burst:{key_hash}", window)
            self._alone[key_hash] = running + 1

    def _rest(self, error: LinkError) -> None:
        self._resting_until = time.monotonic() + REST_SECONDS
        metrics.REDIS_COMMANDS.labels("failed").inc()
        log.warning("redis is away", error=str(error), resting_seconds=REST_SECONDS)


def hour_counter(key_hash: str) -> str:
    """The name of the key's counter of requests in hours, without the number of the hour."""
    return f"{PREFIX}hour:{key_hash}:"


def _leases(key_hash: str) -> str:
    return f"{PREFIX}live:{key_hash}"


def _retry_soon(error: ApiError) -> ApiError:
    error.headers["retry-after"] = str(_RETRY_CONCURRENT)
    if isinstance(error.details, dict):
        error.details["retryAfter"] = _RETRY_CONCURRENT
    return error
