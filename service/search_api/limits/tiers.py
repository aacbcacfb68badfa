"""The figures of each tier of API keys."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tier:
    """Requests in an hour, in a burst window, and at once; AI calls in an hour."""

    hourly: int
    burst: int
    concurrent: int
    ai_per_hour: int


TIERS: dict[str, Tier] = {
    "free": Tier(hourly=1_000, burst=50, concurrent=3, ai_per_hour=100),
    "pro": Tier(hourly=10_000, burst=200, concurrent=10, ai_per_hour=2_000),
    "enterprise": Tier(hourly=100_000, burst=500, concurrent=50, ai_per_hour=20_000),
}
