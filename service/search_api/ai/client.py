"""Calls to the AI: one retry loop, one breaker, a quota a key, a ledger, and a budget of time that is always kept."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import structlog

from search_api import metrics
from search_api.ai.breaker import Breaker
from search_api.ai.errors import AiUnavailableError, FailedCallError, Tokens
from search_api.ai.ledger import AiLedger, Call
from search_api.ai.quota import AiQuota
from search_api.settings import Settings

log = structlog.get_logger()

Answer = TypeVar("Answer")
# Sends one request that may take so many seconds; gives what it says and what it used, or raises FailedCallError.
Send = Callable[[float], tuple[Answer, Tokens]]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds, when the provider names none


@dataclass(frozen=True)
class AiCaller:
    """Who causes a call and pays for it."""

    user_id: str
    key_id: str
    tier: str


@dataclass(frozen=True)
class Operation:
    """What is asked of the AI, and its prices in billionths of a US dollar a token."""

    name: str
    model: str
    prompt_price: float
    completion_price: float = 0.0

    def cost(self, tokens: Tokens) -> int:
        """Billionths of a US dollar."""
        return round(tokens.prompt * self.prompt_price + tokens.completion * self.completion_price)


class AiClient:
    """One per worker."""

    def __init__(self, settings: Settings, quota: AiQuota, ledger: AiLedger) -> None:
        self._settings = settings
        self._quota = quota
        self._ledger = ledger
        self.breaker = Breaker(settings.ai_breaker_failures, settings.ai_breaker_rest)
        # Requests run beside their caller, who goes on at the deadline even when a name look-up hangs.
        self._requests = ThreadPoolExecutor(settings.threads, thread_name_prefix="ai")
        self._asked_to_wait_until = 0.0
        self._lock = threading.Lock()

    def available(self) -> bool:
        """Whether a call that comes now has a chance."""
        waits = self._asked_to_wait_until - time.monotonic()
        return not self.breaker.refuses() and waits < self._settings.ai_deadline

    def call(self, caller: AiCaller, operation: Operation, send: Send[Answer], deadline: float) -> Answer:
        """What the AI says, by ``deadline`` (monotonic seconds). Raises AiUnavailableError."""
        if self.breaker.refuses():
            raise self._not_sent(operation, AiUnavailableError("ai_unavailable"), "breaker_open")
        self._wait_as_asked(operation, deadline)
        if not self._quota.take(caller.key_id, caller.tier):
            raise self._not_sent(operation, AiUnavailableError("ai_quota"), "quota")
        tries = self._settings.ai_retries + 1
        for number in range(tries):
            try:
                return self._try(caller, operation, send, deadline)
            except FailedCallError as failure:
                pause = _pause(failure, number)
                if (
                    not failure.again
                    or number + 1 == tries
                    or self.breaker.refuses()
                    or time.monotonic() + pause >= deadline
                ):
                    raise AiUnavailableError(failure.reason) from None
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Wait for requests that run; they are over within ai_timeout."""
        self._requests.shutdown(cancel_futures=True)

    def _wait_as_asked(self, operation: Operation, deadline: float) -> None:
        wait = self._asked_to_wait_until - time.monotonic()
        if wait <= 0:
            return
        if time.monotonic() + wait >= deadline:
            raise self._not_sent(operation, AiUnavailableError("ai_unavailable"), "asked_to_wait")
        time.sleep(wait)

    def _try(self, caller: AiCaller, operation: Operation, send: Send[Answer], deadline: float) -> Answer:
        running = self._requests.submit(self._request, caller, operation, send, deadline)
        try:
            return running.result(timeout=max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            # A request that runs ends by itself, and is counted then; one that has not begun never will.
            running.cancel()
            raise AiUnavailableError("ai_timeout") from None

    def _request(self, caller: AiCaller, operation: Operation, send: Send[Answer], deadline: float) -> Answer:
        started = time.monotonic()
        seconds = min(self._settings.ai_timeout, deadline - started)
        if seconds <= 0:
            raise self._not_sent(operation, AiUnavailableError("ai_timeout"), "too_late")
        if not self.breaker.enter():
            raise self._not_sent(operation, AiUnavailableError("ai_unavailable"), "breaker_open")
        answered = False
        try:
            answer, tokens = send(seconds)
            answered = True
        except FailedCallError as failure:
            answered = failure.outcome == "refused"  # it is there, and will refuse the next one as well
            self._note(caller, operation, failure.outcome, failure.tokens, started, reached=failure.reached)
            self._remember_to_wait(failure)
            log.warning("the AI did not help", operation=operation.name, outcome=failure.outcome)
            raise
        finally:
            (self.breaker.succeeded if answered else self.breaker.failed)()
        self._note(caller, operation, "ok", tokens, started, reached=True)
        return answer

    def _note(
        self,
        caller: AiCaller,
        operation: Operation,
        outcome: str,
        tokens: Tokens,
        started: float,
        *,
        reached: bool,
    ) -> None:
        seconds = time.monotonic() - started
        metrics.AI_REQUESTS.labels(operation.name, outcome).inc()
        metrics.AI_SECONDS.labels(operation.name).observe(seconds)
        metrics.AI_TOKENS.labels("in").inc(tokens.prompt)
        metrics.AI_TOKENS.labels("out").inc(tokens.completion)
        if not reached:
            return
        self._ledger.add(
            Call(
                user_id=caller.user_id,
                key_id=caller.key_id,
                operation=operation.name,
                model=operation.model,
                outcome=outcome,
                tokens=tokens,
                cost=operation.cost(tokens),
                milliseconds=round(seconds * 1000, 2),
            )
        )

    def _remember_to_wait(self, failure: FailedCallError) -> None:
        if failure.retry_after is not None:
            with self._lock:
                self._asked_to_wait_until = max(
                    self._asked_to_wait_until, time.monotonic() + failure.retry_after
                )

    def _not_sent(self, operation: Operation, error: AiUnavailableError, outcome: str) -> AiUnavailableError:
        metrics.AI_REQUESTS.labels(operation.name, outcome).inc()
        return error


def _pause(failure: FailedCallError, number: int) -> float:
    """Seconds until the next try: what the provider asks for, else growing and with chance."""
    if failure.retry_after is not None:
        return failure.retry_after
    longest: float = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**number)
    return random.uniform(longest / 2, longest)  # noqa: S311 (spreads clients, guards nothing)
