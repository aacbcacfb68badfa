"""The connections of an owner, kept in the worker for one state of them; a change of any makes another state.

The state is a value in Redis, one for each owner, which every admission brings along. Who changes a connection writes a
new one, so that no worker on any host answers from what was kept for the old one, in memory or in Redis.
"""

import threading
import time
import uuid
from collections import OrderedDict

from search_api.cache import Cache
from search_api.models import DatabaseConnection

_MOST = 1_000
_KIND = "connections"
_KEPT_SECONDS = 86_400
_READ_AGAIN_SECONDS = 60.0  # what changes past the service, in MySQL itself, is seen after this


class OwnedConnections:
    """Lists of connections by owner and state; the least recently used are forgotten beyond a number."""

    def __init__(self) -> None:
        self._lists: OrderedDict[str, tuple[str, float, list[DatabaseConnection]]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, owner: str, state: str) -> list[DatabaseConnection] | None:
        """The owner's connections in this state; None when they are not kept or the state is not known."""
        with self._lock:
            kept = self._lists.get(owner)
            if not state or kept is None or kept[0] != state:
                return None
            if time.monotonic() - kept[1] > _READ_AGAIN_SECONDS:
                return None
            self._lists.move_to_end(owner)
            return kept[2]

    def keep(self, owner: str, state: str, rows: list[DatabaseConnection]) -> None:
        """Keep the list that was read after this state was seen."""
        if not state:
            return
        with self._lock:
            self._lists[owner] = (state, time.monotonic(), rows)
            self._lists.move_to_end(owner)
            if len(self._lists) > _MOST:
                self._lists.popitem(last=False)


def connections_changed(cache: Cache, owner: str) -> None:
    """From now on nothing counts that was kept for the owner's connections as they were. Call after the commit."""
    cache.deliver(_KIND, owner, uuid.uuid4().hex.encode(), _KEPT_SECONDS)


def state_of(cache: Cache, owner: str) -> str:
    """The state as an admission would bring it along; empty while Redis is away."""
    cache.put(_KIND, owner, uuid.uuid4().hex.encode(), _KEPT_SECONDS, only_if_absent=True)
    return (cache.get(_KIND, owner) or b"").decode()
