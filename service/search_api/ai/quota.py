"""Calls to the AI that a key may cause in an hour: counted in Redis, exactly; without Redis, a local share."""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from search_api.cache import Cache
from search_api.limits.tiers import TIERS

_HOUR = 3600
_MOST = 10_000  # keys that a worker remembers
# The hour is Redis' own, so that all machines agree on it. Answers: allowed?, used now, number of the hour.
_TAKE = """
local hour = math.floor(tonumber(redis.call('TIME')[1]) / 3600)
local key = KEYS[1] .. ':' .. hour
local used = tonumber(redis.call('GET', key) or '0')
if used >= tonumber(ARGV[1]) then return {0, used, hour} end
used = redis.call('INCR', key)
if used == 1 then redis.call('EXPIRE', key, 7200) end
return {1, used, hour}
"""


@dataclass
class _Seen:
    """One key's hour: what Redis last said was used, and what this worker allowed without Redis since."""

    hour: int
    used: int = 0
    alone: int = 0


class AiQuota:
    """One per worker. ``workers`` is the number of all workers on all machines, which share while Redis is away."""

    def __init__(self, cache: Cache, workers: int) -> None:
        self._cache = cache
        self._workers = workers
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key_id: str, tier: str) -> bool:
        """Count one call of this key, unless its tier's calls of this hour are used up: then False."""
        limit = TIERS[tier].ai_per_hour
        answer = self._cache.run_script(_TAKE, [f"ai-quota:{key_id}"], [limit])
        if answer is None:
            return self._take_alone(key_id, limit)
        allowed, used, hour = (int(number) for number in answer)
        with self._lock:
            self._current(key_id, hour).used = used
        return allowed == 1

    def _take_alone(self, key_id: str, limit: int) -> bool:
        """This worker's part of what was left when Redis was last heard, so that all together keep the limit."""
        with self._lock:
            seen = self._current(key_id, int(time.time()) // _HOUR)
            if seen.alone >= max(0, limit - seen.used) // self._workers:
                return False
            seen.alone += 1
            return True

    def _current(self, key_id: str, hour: int) -> _Seen:
        seen = self._seen.pop(key_id, None)
        if seen is None or seen.hour != hour:
            seen = _Seen(hour)
        self._seen[key_id] = seen
        if len(self._seen) > _MOST:
            self._seen.popitem(last=False)
        return seen
