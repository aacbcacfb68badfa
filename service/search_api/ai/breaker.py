"""A circuit breaker: after several failures in a row the AI is left alone, then tried with a single call.

The states and their changes are those of M. Nygard, "Release It!" (2007), chapter 5.
"""

import threading
import time
from typing import Literal

from search_api import metrics

State = Literal["closed", "half_open", "open"]
_FIGURES: dict[State, int] = {"closed": 0, "half_open": 1, "open": 2}


class Breaker:
    """One per worker. ``rest`` is seconds."""

    def __init__(self, failures: int, rest: float) -> None:
        self._most = failures
        self._rest = rest
        self._failures = 0
        self._state: State = "closed"
        self._opened = 0.0
        self._lock = threading.Lock()
        self._show()

    @property
    def state(self) -> State:
        """closed: calls go through; open: none does; half_open: one is on its way to find out."""
        return self._state

    def refuses(self) -> bool:
        """Whether a call that comes now would be turned away."""
        with self._lock:
            return self._state == "half_open" or (self._state == "open" and not self._rested())

    def enter(self) -> bool:
        """Whether this call may go; if so its end must be told by ``succeeded`` or ``failed``."""
        with self._lock:
            if self._state == "closed":
                return True
            if self._state == "half_open" or not self._rested():
                return False
            self._become("half_open")
            return True

    def succeeded(self) -> None:
        """A call was answered."""
        with self._lock:
            self._failures = 0
            self._become("closed")

    def failed(self) -> None:
        """A call was not answered, or with nonsense."""
        with self._lock:
            self._failures += 1
            if self._state == "half_open" or self._failures >= self._most:
                self._opened = time.monotonic()
                self._become("open")

    def _rested(self) -> bool:
        return time.monotonic() - self._opened >= self._rest

    def _become(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self._show()

    def _show(self) -> None:
        metrics.AI_BREAKER.set(_FIGURES[self._state])
