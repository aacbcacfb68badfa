"""Counting in this worker's memory while Redis is away: every worker allows its share, all of them the limit."""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

_MOST = 10_000


@dataclass
class Seen:
    """One counter's window: its number, what Redis last said was used, and what was admitted without Redis since."""

    window: int
    used: int = 0
    alone: int = 0


class LocalWindows:
    """Fixed windows by this machine's clock. The least recently used are forgotten beyond a number."""

    def __init__(self, divisor: int) -> None:
        self._divisor = divisor
        self._seen: OrderedDict[str, Seen] = OrderedDict()
        self._lock = threading.Lock()

    def learn(self, name: str, window: int, used: int) -> None:
        """Redis said that so many were used in this window."""
        with self._lock:
            seen = self._current(name, window)
            seen.used = max(seen.used, used)

    def hand_over(self, name: str, seconds: int) -> Seen:
        """What Redis should know about the window that runs; what was admitted alone is handed over once."""
        with self._lock:
            seen = self._current(name, _window(seconds))
            handed = Seen(seen.window, seen.used, seen.alone)
            seen.alone = 0
            return handed

    def take_back(self, name: str, handed: Seen) -> None:
        """Redis did not hear of it."""
        with self._lock:
            seen = self._current(name, handed.window)
            seen.alone += handed.alone

    def left(self, name: str, seconds: int, limit: int) -> int:
        """How many this worker may still admit by itself: its share of what was left when Redis was last heard."""
        with self._lock:
            seen = self._current(name, _window(seconds))
            free = max(0, limit - seen.used)
            # Rounding down must not shut out everybody when the limit is smaller than the number of workers.
            share = max(free // self._divisor, min(free, 1) if limit < self._divisor else 0)
            return max(0, share - seen.alone)

    def add(self, name: str, seconds: int, number: int = 1) -> None:
        """Admitted without Redis."""
        with self._lock:
            self._current(name, _window(seconds)).alone += number

    def _current(self, name: str, window: int) -> Seen:
        seen = self._seen.pop(name, None)
        if seen is None or seen.window < window:
            seen = Seen(window)
        self._seen[name] = seen
        if len(self._seen) > _MOST:
            self._seen.popitem(last=False)
        return seen


def seconds_left(seconds: int) -> int:
    """Until the window of so many seconds ends, at least 1."""
    return seconds - int(time.time()) % seconds


def _window(seconds: int) -> int:
    return int(time.time()) // seconds
