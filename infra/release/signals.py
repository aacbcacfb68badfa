"""Ctrl-C and SIGTERM become one exception, raised only where stopping is safe."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from infra.release.errors import Interrupted

HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Ear:
    """The state of the handlers: how deep in protected work we are, and what was heard meanwhile."""

    def __init__(self) -> None:
        self.protected = 0
        self.heard: str | None = None
        self.answer: Callable[[str], None] | None = None


_ear = _Ear()


def _on_signal(number: int, _frame: FrameType | None) -> None:
    name = signal.Signals(number).name
    if _ear.answer is not None:
        _ear.answer(name)
    elif _ear.protected:
        _ear.heard = name
    else:
        raise Interrupted(name)


@contextmanager
def interruptible() -> Iterator[None]:
    """Within, SIGINT, SIGTERM and SIGHUP raise Interrupted in the main thread. Elsewhere: no effect."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _on_signal) for number in HEARD}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deferred() -> Iterator[None]:
    """Within, a signal is kept and raised at the end: a switch is made wholly or not at all."""
    _ear.protected += 1
    try:
        yield
    finally:
        _ear.protected -= 1
        heard = _ear.heard
        if not _ear.protected:
            _ear.heard = None
    if heard is not None and not _ear.protected:
        raise Interrupted(heard)


@contextmanager
def answered(answer: Callable[[str], None]) -> Iterator[None]:
    """Within, a signal only calls `answer(signal name)`: going back is not given up half-way."""
    before, _ear.answer = _ear.answer, answer
    try:
        yield
    finally:
        _ear.answer = before
