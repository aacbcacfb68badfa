"""Why the AI gives nothing: to those who ask for it, and between the parts of this package."""

from dataclasses import dataclass
from typing import Literal

Reason = Literal["ai_unavailable", "ai_quota", "ai_timeout"]


class AiUnavailableError(Exception):
    """The AI does not help this time. ``reason`` is what the answer says in ``degraded``:

    ``ai_unavailable``: off, down, limited, left alone for a while, or talking nonsense; ``ai_quota``: the key's calls
    of this hour are used up; ``ai_timeout``: it took too long.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


@dataclass(frozen=True)
class Tokens:
    """What a call used: tokens sent, tokens written by the AI."""

    prompt: int = 0
    completion: int = 0


class FailedCallError(Exception):
    """One request to the AI that failed.

    ``outcome`` is the word of metrics and ledger: rate_limited, server_error, misconfigured (the key, the
    model or the address), refused (this request only), timeout, unreachable, nonsense.
    ``reached`` says whether the provider may have seen it, ``retry_after`` how many seconds it asks us to wait.
    """

    def __init__(
        self,
        outcome: str,
        *,
        reached: bool = True,
        again: bool = False,
        retry_after: float | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.reached = reached
        self.again = again
        self.retry_after = retry_after
        self.tokens = tokens or Tokens()

    @property
    def reason(self) -> Reason:
        """What the answer says about it."""
        return "ai_timeout" if self.outcome == "timeout" else "ai_unavailable"
