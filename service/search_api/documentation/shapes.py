"""Shapes of answers that the service builds as plain dictionaries, so that no model slows them down.

They document; tests hold the real answers against them.
"""

from typing import Any, Literal

from pydantic import BaseModel

from search_api.clock import UtcTime


class ErrorDetail(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str
    code: str


class ErrorBody(BaseModel):
    """``details`` is a list for VALIDATION_ERROR, an object for limits and failed searches."""

    code: str
    message: str
    details: list[ErrorDetail] | dict[str, Any] | None = None


class ErrorMeta(BaseModel):
    """What every answer says about itself."""

    timestamp: UtcTime
    requestId: str
    version: str


class ErrorEnvelope(BaseModel):
    """An answer that is an error."""

    success: Literal[False]
    error: ErrorBody
    meta: ErrorMeta


class SearchResult(BaseModel):
    """One match; ``relevanceScore`` lies between 0 and 1 and compares over tables and databases."""

    id: str
    table: str
    database: str
    relevanceScore: float
    matchedColumns: list[str]
    data: dict[str, Any]
    snippet: str
    categories: list[str]


class Category(BaseModel):
    """A group of the page's results."""

    name: str
    count: int
    confidence: float


class SearchedDatabase(BaseModel):
    """What became of one database; ``error`` is for its owner."""

    id: str
    status: Literal["ok", "error", "timeout"]
    error: str | None = None


class SearchAnswer(BaseModel):
    """One page of matches; ``executionTime`` is milliseconds, ``degraded`` what was missing on the way."""

    results: list[SearchResult]
    categories: list[Category]
    suggestions: list[Any]
    queryOptimization: list[Any]
    trends: dict[str, Any] | None = None
    totalCount: int
    hasMore: bool
    executionTime: float
    page: int
    limit: int
    modeUsed: str
    degraded: list[str]
    cache: Literal["hit", "miss"]
    databases: list[SearchedDatabase]


class RateLimitStatus(BaseModel):
    """The hour that runs."""

    tier: str
    remaining: int
    resetTime: UtcTime


class Usage(BaseModel):
    """Uses in the days asked for."""

    apiKeyId: str
    requestCount: int
    lastUsed: UtcTime | None
    rateLimitStatus: RateLimitStatus


class KeyUsage(BaseModel):
    """What a key was used for."""

    usage: Usage
    keyId: str
    totalRequests: int
    requestsThisMonth: int
    lastUsed: UtcTime | None
    rateLimitTier: str
    quotaUsed: int
    quotaLimit: int
