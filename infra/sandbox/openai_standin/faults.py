"""What is wrong with the stand-in at the moment, switched while it runs; and the calls that it has seen."""

import threading
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

# name -> what the next calls get instead of an answer
KINDS = {
    "none": "the right answer",
    "slow": "the right answer after `seconds`",
    "limited": "429 with Retry-After: `seconds`",
    "error": "500",
    "hang": "nothing, for `seconds`, then a closed connection",
    "drip": "the right answer, a byte every tenth of a second",
    "bad_json": "200 with half of the answer",
    "empty": "200 with an empty body",
    "wrong_dimensions": "vectors that are one number short",
    "not_a_number": "vectors with NaN in them",
    "wrong_count": "one vector too few",
    "down": "a closed connection",
}
_KEPT = 10_000


class WrongFaultError(Exception):
    """The fault that was asked for does not exist."""


@dataclass(frozen=True)
class Fault:
    """A kind, its seconds, and how many calls get it (None: all until it is switched again)."""

    kind: str = "none"
    seconds: float = 1.0
    times: int | None = None

    @classmethod
    def asked_for(cls, body: Any) -> "Fault":
        """From the JSON of POST /_faults: `{"kind": "limited", "seconds": 2, "times": 3}`.

        Raises:
            WrongFaultError: with the reason.
        """
        if not isinstance(body, dict) or set(body) - {"kind", "seconds", "times"}:
            raise WrongFaultError("send an object of kind, seconds?, times?")
        kind, seconds, times = body.get("kind"), body.get("seconds", 1.0), body.get("times")
        if kind not in KINDS:
            raise WrongFaultError(f"kind is one of {', '.join(KINDS)}")
        if not isinstance(seconds, int | float) or not 0 <= seconds <= 600:
            raise WrongFaultError("seconds is a number from 0 to 600")
        if times is not None and (not isinstance(times, int) or times < 1):
            raise WrongFaultError("times is a positive number or null")
        return cls(kind, float(seconds), times)


@dataclass
class Call:
    """A call that came in: tokens are those that its answer charged."""

    path: str
    fault: str
    inputs: int = 0
    status: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    at: float = field(default_factory=time.time)


class Behaviour:
    """The fault in force and the record of calls; safe to use from many threads."""

    def __init__(self) -> None:
        self._fault = Fault()
        self._calls: deque[Call] = deque(maxlen=_KEPT)
        self._total = 0
        self._lock = threading.Lock()
        self._switched = threading.Event()

    def switch(self, fault: Fault) -> None:
        """From now on this fault; calls that hang are let go."""
        with self._lock:
            self._fault = fault
            self._switched.set()
            self._switched = threading.Event()

    def received(self, path: str) -> tuple[Call, Fault]:
        """Record a call, and the fault that it gets."""
        with self._lock:
            fault = self._fault
            if fault.times is not None:
                left = fault.times - 1
                self._fault = Fault(fault.kind, fault.seconds, left) if left else Fault()
            call = Call(path, fault.kind)
            self._calls.append(call)
            self._total += 1
            return call, fault

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the fault is switched."""
        with self._lock:
            switched = self._switched
        switched.wait(seconds)

    def forget(self) -> None:
        """Begin the record anew."""
        with self._lock:
            self._calls.clear()
            self._total = 0

    def told(self) -> dict[str, Any]:
        """The fault in force, the number of calls and the last of them, oldest first."""
        with self._lock:
            return {
                "fault": asdict(self._fault),
                "total": self._total,
                "calls": [asdict(call) for call in self._calls],
            }
