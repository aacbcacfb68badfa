"""Limits of attempts by address and by user: registration, login, failed authentications, making keys."""

from collections.abc import Sequence
from functools import lru_cache, partial
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Literal

import anyio.to_thread

from search_api import metrics
from search_api.cache import PREFIX, Cache
from search_api.limits.local import LocalWindows, seconds_left
from search_api.limits.scripts import COUNT
from search_api.limits.standing import Headers, Standing, refusal
from search_api.settings import Network, Settings

OfAddress = Literal["register", "login", "failed_authentication"]
OfUser = Literal["key_creation", "key_regeneration"]
_MESSAGES = {
    "register": "Too many accounts were made from this address; try again later.",
    "login": "Too many logins from this address; try again later.",
    "failed_authentication": "Too many failed attempts to authenticate from this address; try again later.",
    "key_creation": "Too many keys were made; try again later.",
    "key_regeneration": "Too many keys were made anew; try again later.",
}


class Attempts:
    """One per worker; its methods may wait for Redis and belong into a thread."""

    def __init__(self, settings: Settings, cache: Cache) -> None:
        self._settings = settings
        self._cache = cache
        self._local = LocalWindows(settings.limit_share_divisor)
        self._counted = lru_cache(maxsize=4096)(partial(_counted, settings.limit_exempt_networks))
        self._figures = {
            "register": (3600, settings.register_per_hour),
            "login": (3600, settings.login_per_hour),
            "failed_authentication": (60, settings.failed_authentications_per_minute),
            "key_creation": (3600, settings.key_creations_per_hour),
            "key_regeneration": (3600, settings.key_regenerations_per_hour),
        }

    def counted_address(self, address: str) -> str:
        """The address as it is counted, an IPv6 one by its /64; empty when it is exempt or unknown."""
        return self._counted(address)

    def allow_address(self, kind: OfAddress, address: str) -> Headers:
        """Count an attempt from the address; the headers for its answer.

        A failed authentication is only looked at here: ``failed`` counts it. Raises 429 RATE_LIMIT_EXCEEDED.
        """
        counted = self.counted_address(address)
        return self._allow(kind, counted, "address", kind != "failed_authentication") if counted else []

    def allow_user(self, kind: OfUser, user_id: str) -> Headers:
        """Count an attempt of the user; the headers for its answer. Raises 429 RATE_LIMIT_EXCEEDED."""
        return self._allow(kind, user_id, "user", True)

    def failed(self, address: str) -> None:
        """Count a failed authentication. Raises 429 RATE_LIMIT_EXCEEDED when there were too many before it."""
        if counted := self.counted_address(address):
            self._allow("failed_authentication", counted, "address", True)

    async def failed_on_loop(self, address: str) -> None:
        """As ``failed``, for callers on the event loop."""
        if self.counted_address(address):
            await anyio.to_thread.run_sync(self.failed, address)

    def used(self, name: str, seconds: int) -> int | None:
        """What a counter of Redis holds in the window that runs; None while Redis is away."""
        answer = self._cache.script(COUNT, [name], [seconds, 2**53, 0])
        return None if answer is None else int(answer[0])

    def _allow(self, kind: OfAddress | OfUser, who: str, tier: str, add: bool) -> Headers:
        seconds, limit = self._figures[kind]
        name = f"{PREFIX}limit:{kind}:{who}:"
        handed = self._local.hand_over(name, seconds)
        answer = self._cache.script(COUNT, [name], [seconds, limit, int(add) + handed.alone])
        if answer is None:
            self._local.take_back(name, handed)
            metrics.LIMITED_ALONE.inc()
            remaining, left = self._local.left(name, seconds, limit), seconds_left(seconds)
            allowed = remaining > 0
            if allowed and add:
                self._local.add(name, seconds)
                remaining -= 1
        else:
            used, left, allowed = int(answer[0]), int(answer[1]), answer[2] == 1
            remaining = max(0, limit - used)
            self._local.learn(name, handed.window, used)
        standing = Standing(
            name=kind.replace("_", "-"),
            limit=limit,
            remaining=remaining,
            reset_in=left,
            reset_at=handed.window * seconds + seconds,
            tier=tier,
            policy=f'"{kind.replace("_", "-")}";q={limit};w={seconds}',
            degraded=answer is None,
        )
        if not allowed:
            raise refusal(standing, _MESSAGES[kind])
        return standing.headers()


def _counted(exempt: Sequence[Network], address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return ""
    if any(parsed in network for network in exempt):
        return ""
    return str(ip_network((parsed, 64), strict=False)[0]) if isinstance(parsed, IPv6Address) else address
