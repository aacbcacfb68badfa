"""What the document says of each operation beyond what its function says: examples, errors of its own, shapes.

An operation without an entry has none of these. Errors that follow from what an operation takes (a body, a login,
a key, an id) are added for all of them in ``openapi``.
"""

from dataclasses import dataclass
from typing import Any

from search_api.documentation import figures, shapes

_PASSWORD = "Correct-Horse-7-Staple"  # noqa: S105 (an example)


@dataclass(frozen=True)
class Described:
    """``request`` is an example that works; ``errors`` are "status CODE"; ``answer`` is the type of ``data``.

    ``limited`` operations are counted by address or user; those that take an API key are limited without saying so.
    """

    request: dict[str, Any] | None = None
    errors: tuple[str, ...] = ()
    answer: Any = None
    limited: bool = False


# The address, the account and the password are the reader's own to fill in; all else works as it stands.
_DATABASE = {
    "name": "Shop",
    "host": "db.example.com",
    "port": 3306,
    "database": "shop",
    "username": "reader",
    "password": "the reader's password",
    "ssl": True,
}
_UNREACHABLE = ("403 HOST_NOT_ALLOWED", "502 CONNECTION_ERROR")
_GRANTS = (
    "400 INVALID_PERMISSIONS",
    "400 INVALID_RATE_LIMIT_TIER",
    "403 FORBIDDEN",
)
_FIRST_KEY = Described(errors=("409 RESOURCE_CONFLICT",))
_NO_ADMINISTRATOR = ("403 FORBIDDEN",)

OPERATIONS: dict[str, Described] = {
    "GET /metrics": Described(errors=("403 FORBIDDEN",)),
    "POST /api/v1/auth/register": Described(
        request={"email": "ada@example.com", "password": _PASSWORD, "name": "Ada Lovelace"},
        errors=("409 RESOURCE_CONFLICT",),
        limited=True,
    ),
    "POST /api/v1/auth/login": Described(
        request={"email": "ada@example.com", "password": _PASSWORD},
        errors=("401 AUTHENTICATION_FAILED",),
        limited=True,
    ),
    "PUT /api/v1/auth/profile": Described(request={"name": "Ada King"}, errors=("409 RESOURCE_CONFLICT",)),
    "POST /api/v1/auth/change-password": Described(
        request={"currentPassword": _PASSWORD, "newPassword": "Another-Good-9-Pass"},
        errors=("401 AUTHENTICATION_FAILED",),
    ),
    "POST /api/v1/management/setup": _FIRST_KEY,
    "POST /api/v1/management/setup-initial-api-key": _FIRST_KEY,
    "POST /api/v1/keys": Described(
        request={"name": "Website search", "environment": "test", "permissions": ["search"]},
        errors=("400 INVALID_ENVIRONMENT", *_GRANTS),
        limited=True,
    ),
    "PUT /api/v1/keys/{key_id}": Described(request={"name": "Website search, 2nd"}, errors=_GRANTS),
    "POST /api/v1/keys/{key_id}/regenerate": Described(
        request={"graceSeconds": 3600}, errors=("409 RESOURCE_CONFLICT",), limited=True
    ),
    "GET /api/v1/keys/{key_id}/usage": Described(answer=shapes.KeyUsage),
    "POST /api/v1/databases": Described(request=_DATABASE, errors=_UNREACHABLE),
    "PUT /api/v1/databases/{connection_id}": Described(
        request={"name": "Shop, read only"}, errors=_UNREACHABLE
    ),
    "GET /api/v1/databases/{connection_id}/schema": Described(errors=(*_UNREACHABLE, "504 CONNECTION_ERROR")),
    "POST /api/v1/search": Described(
        request={"query": "web server", "searchMode": "natural", "limit": 10},
        errors=("404 CONNECTION_NOT_FOUND", "502 SEARCH_FAILED", "504 SEARCH_TIMEOUT"),
        answer=shapes.SearchAnswer,
    ),
    "GET /api/v1/search/suggestions": Described(
        errors=("404 CONNECTION_NOT_FOUND",), answer=shapes.Suggestions
    ),
    "POST /api/v1/search/analyze": Described(
        request={"query": "web server"}, errors=("404 CONNECTION_NOT_FOUND",), answer=shapes.Analysis
    ),
    "GET /api/v1/search/trends": Described(answer=figures.Trend),
    "GET /api/v1/search/history": Described(answer=list[figures.HistoryItem]),
    "GET /api/v1/analytics/search-trends": Described(answer=figures.Trend),
    "GET /api/v1/analytics/performance": Described(answer=figures.Performance),
    "GET /api/v1/analytics/popular-queries": Described(answer=list[figures.PopularQuery]),
    "GET /api/v1/analytics/search-history": Described(answer=figures.History),
    "GET /api/v1/analytics/history": Described(answer=list[figures.HistoryItem]),
    "GET /api/v1/analytics/insights": Described(answer=list[figures.Insight]),
    "GET /api/v1/analytics/dashboard": Described(answer=figures.Dashboard),
    "GET /api/v1/analytics/trends": Described(answer=figures.Patterns),
    "GET /api/v1/analytics/usage": Described(answer=figures.UsageOfSpan),
    "GET /api/v1/analytics/admin/system-overview": Described(
        errors=_NO_ADMINISTRATOR, answer=figures.SystemOverview
    ),
    "GET /api/v1/analytics/admin/user-activity": Described(
        errors=_NO_ADMINISTRATOR, answer=figures.UserActivity
    ),
    "GET /api/v1/analytics/admin/performance-metrics": Described(
        errors=_NO_ADMINISTRATOR, answer=figures.PerformanceMetrics
    ),
}

# What each code means, in the document's words.
MEANINGS: dict[str, str] = {
    "VALIDATION_ERROR": "The request is not valid.",
    "INVALID_JSON": "The request body is not JSON.",
    "INVALID_ENVIRONMENT": "The environment must be one of test, live.",
    "INVALID_PERMISSIONS": "Permissions must be among search, analytics, admin.",
    "INVALID_RATE_LIMIT_TIER": "The tier must be one of free, pro, enterprise.",
    "NO_TOKEN": "Send the login token as Authorization: Bearer.",
    "INVALID_TOKEN": "The token is not valid.",
    "TOKEN_EXPIRED": "The token has expired.",
    "NO_API_KEY": "Send the API key as Authorization: Bearer or X-API-Key.",
    "INVALID_AUTH_FORMAT": "The Authorization header must read: Bearer <value>.",
    "INVALID_API_KEY_FORMAT": "This is not an API key; check that it is complete.",
    "INVALID_API_KEY": "The API key is not valid.",
    "EXPIRED_API_KEY": "The API key has expired.",
    "AUTHENTICATION_FAILED": "E-mail address or password is wrong.",
    "ENVIRONMENT_MISMATCH": "A live key does not work on a test system; use a test key.",
    "INSUFFICIENT_PERMISSIONS": "The API key lacks the permission.",
    "FORBIDDEN": "This is for an administrator, or for the operator's own network.",
    "HOST_NOT_ALLOWED": "This host is in a network that the operator of the service does not allow.",
    "NOT_FOUND": "Not Found.",
    "CONNECTION_NOT_FOUND": "There is no such database connection.",
    "API_KEY_NOT_FOUND": "There is no such API key.",
    "RESOURCE_CONFLICT": "This exists already.",
    "PAYLOAD_TOO_LARGE": "The request body is too large.",
    "RATE_LIMIT_EXCEEDED": "Too many requests; Retry-After says when to come back.",
    "INTERNAL_ERROR": "Something went wrong on our side.",
    "CONNECTION_ERROR": "A database cannot be reached.",
    "SEARCH_FAILED": "The search failed on every database.",
    "SEARCH_TIMEOUT": "The search took too long on every database.",
}
