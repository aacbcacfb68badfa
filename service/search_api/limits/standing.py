"""Where a caller stands, as headers and as the answer to one who asked too much."""

from dataclasses import dataclass

from search_api.errors import ApiError

HEADERS = (
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-RateLimit-Tier",
    "RateLimit-Policy",
    "RateLimit",
    "RateLimit-Degraded",
)
Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Standing:
    """The allowance that binds: its name, its figures, seconds until it is whole again, and when (Unix seconds)."""

    name: str
    limit: int
    remaining: int
    reset_in: int
    reset_at: int
    tier: str
    policy: str
    degraded: bool = False

    def headers(self) -> Headers:
        """``X-RateLimit-*`` and those of the IETF draft draft-ietf-httpapi-ratelimit-headers."""
        made = [
            (b"x-ratelimit-limit", b"%d" % self.limit),
            (b"x-ratelimit-remaining", b"%d" % self.remaining),
            (b"x-ratelimit-reset", b"%d" % self.reset_at),
            (b"x-ratelimit-tier", self.tier.encode()),
            (b"ratelimit-policy", self.policy.encode()),
            (b"ratelimit", b'"%b";r=%d;t=%d' % (self.name.encode(), self.remaining, self.reset_in)),
        ]
        if self.degraded:
            made.append((b"ratelimit-degraded", b"redis_unavailable"))
        return made


def refusal(standing: Standing, message: str, upgrade: str = "") -> ApiError:
    """429 RATE_LIMIT_EXCEEDED. The headers of the standing are sent by whoever set them for the request, or here."""
    details = {
        "retryAfter": standing.reset_in,
        "limit": standing.limit,
        "remaining": standing.remaining,
        "tier": standing.tier,
    } | ({"upgradeMessage": upgrade} if upgrade else {})
    headers = {name.decode(): value.decode() for name, value in standing.headers()}
    headers["retry-after"] = str(standing.reset_in)
    return ApiError(429, "RATE_LIMIT_EXCEEDED", message, details=details, headers=headers)
