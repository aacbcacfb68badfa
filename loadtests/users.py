"""The users of a load: they take due requests from a common schedule and never decide themselves when to ask.

One dispatcher keeps the schedule. It hands each arrival over at its planned moment; a user who is free sends it
at once. When the server stalls, users stay busy and arrivals wait, and that wait is part of their response
time.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gevent
import geventhttpclient.client
from gevent.queue import Queue
from geventhttpclient.client import HTTPClientPool
from locust import FastHttpUser, task
from locust.env import Environment
from locust.exception import StopUser

from loadtests import operations
from loadtests.operations import Account
from loadtests.samples import Audit, Sample, percentile
from loadtests.target import Target

# The client library sends GETs again when a kept connection turns out dead; a request that was lost must count as lost.
geventhttpclient.client.IDEMPOTENT_METHODS = frozenset()


@dataclass(frozen=True)
class Arrival:
    """A request that is due: `planned` seconds after the run's start."""

    planned: float
    endpoint: str


class Dispatcher:
    """Hands arrivals over on time, and watches the generator itself while doing so."""

    def __init__(
        self, plan: Iterator[tuple[float, str]], accounts: list[Account], users: int, seed: int
    ) -> None:
        self.due: Queue[Arrival | None] = Queue()
        self.accounts, self.users = accounts, users
        self.rng = random.Random(f"requests-{seed}")  # noqa: S311 (repeatable, not secret)
        self._plan = plan
        self._fresh: list[Sample] = []
        self._lags: list[float] = []
        self._planned, self._sent, self._done, self._unsent = 0, 0, 0, 0
        self._start = time.perf_counter()
        self._cpu = time.process_time()
        self._stopped = False

    def now(self) -> float:
        """Seconds since the run's start."""
        return time.perf_counter() - self._start

    def run(self) -> None:
        """Dispatches the whole plan; returns when its last arrival is handed over, or soon after `stop`."""
        self._start, self._cpu = time.perf_counter(), time.process_time()
        for planned, endpoint in self._plan:
            while (wait := planned - self.now()) > 0 and not self._stopped:
                gevent.sleep(min(wait, 0.5))
            if self._stopped:
                break
            self._planned += 1
            self._lags.append(self.now() - planned)
            self.due.put(Arrival(planned, endpoint))

    def stop(self) -> None:
        """Ends dispatching and sends users home as they become free."""
        self._stopped = True
        for _ in range(self.users):
            self.due.put(None)

    def drain(self, seconds: float) -> None:
        """Waits until all that was dispatched is answered, `seconds` at most; what no user got to counts as
        an error."""
        until = self.now() + seconds
        while self._done < self._planned and self.now() < until:
            gevent.sleep(0.02)
        while self.due.qsize():
            arrival = self.due.get()
            if arrival is not None:
                self._unsent += 1
                moment = self.now()
                self._fresh.append(Sample(arrival.planned, moment, moment, arrival.endpoint, 0, "unsent", 0))

    def next_arrival(self) -> Arrival:
        """The next due request, for a free user. Raises StopUser when there is none left."""
        arrival: Arrival | None = self.due.get()
        if arrival is None:
            raise StopUser
        self._sent += 1
        return arrival

    def done(self, sample: Sample) -> None:
        """Takes note of an answered request."""
        self._done += 1
        self._fresh.append(sample)

    def take(self) -> list[Sample]:
        """Samples since the last call."""
        taken, self._fresh = self._fresh, []
        return taken

    def audit(self) -> Audit:
        """What the generator says of itself."""
        wall = self.now()
        return Audit(
            planned=self._planned,
            sent=self._sent,
            unsent_busy=self._unsent,
            cpu_seconds=time.process_time() - self._cpu,
            wall_seconds=wall,
            lag_p99_ms=(percentile(self._lags, 0.99) or 0.0) * 1000,
            lag_max_ms=max(self._lags, default=0.0) * 1000,
            users=self.users,
        )


def client_pool(target: Target, users: int, timeout: float) -> HTTPClientPool:
    """Connections for all users: certificate and Host by the target's name, whatever address is dialled."""
    tls = target.tls()
    arguments: dict[str, Any] = {
        "concurrency": users,
        "connection_timeout": timeout,
        "network_timeout": timeout,
        "headers": {"Host": target.authority},
    }
    if tls is not None:
        # The library calls the factory with its own CA list; only the target's own CA may vouch here.
        arguments |= {
            "ssl_context_factory": lambda **_: tls,
            "ssl_options": {"server_hostname": target.host},
        }
    return HTTPClientPool(**arguments)


class Visitor(FastHttpUser):
    """Sends what is due. What a request is, when it comes and who asks is the dispatcher's to say."""

    abstract = True
    dispatcher: Callable[[], Dispatcher]
    dialled_url = ""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        # --host is the name; the pool of connections knows the name too, so here only the address is needed.
        self.client.base_url = self.dialled_url

    @task
    def visit(self) -> None:
        """One request, timed from its planned moment."""
        dispatcher = type(self).dispatcher()
        arrival = dispatcher.next_arrival()
        account = dispatcher.rng.choice(dispatcher.accounts)
        call = operations.call(arrival.endpoint, account, dispatcher.rng)
        sent = dispatcher.now()
        with self.client.request(
            call.method,
            call.path,
            name=call.endpoint,
            data=call.body,  # type: ignore[arg-type]
            headers=dict(call.headers),
            catch_response=True,
            allow_redirects=False,
        ) as answer:
            done = dispatcher.now()
            body = answer.content or b""
            error = _fault(answer.status_code, body, answer.error if hasattr(answer, "error") else None)
            answer.request_meta["response_time"] = (done - arrival.planned) * 1000
            if error is None:
                answer.success()
            else:
                answer.failure(error)
        dispatcher.done(
            Sample(arrival.planned, sent, done, call.endpoint, answer.status_code, error, len(body))
        )


def _fault(status: int, body: bytes, error: Exception | None) -> str | None:
    if status == 0:
        return f"lost ({type(error).__name__})"
    return operations.wrong(status, body)
