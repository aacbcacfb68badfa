"""Shapes of answers that the service builds as plain dictionaries, so that no model slows them down.

They document; tests hold the real answers against them.
"""

from typing import Any, Literal

from pydantic import BaseModel

from search_api.clock import UtcTime
from search_api.documentation.figures import Trend


class ErrorDetail(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str
    code: str


class LimitDetails(BaseModel):
    """The ``details`` of 429 RATE_LIMIT_EXCEEDED; ``retryAfter`` is seconds."""

    retryAfter: int
    limit: int
    remaining: int
    tier: str
    upgradeMessage: str | None = None


class ErrorBody(BaseModel):
    """``details`` is a list for VALIDATION_ERROR, an object for limits and failed searches."""

    code: str
    message: str
    details: list[ErrorDetail] | LimitDetails | dict[str, Any] | None = None


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
    """A group of all matches; ``confidence`` is its share of them."""

    name: str
    count: int
    confidence: float


class SearchedDatabase(BaseModel):
    """What became of one database; ``error`` is for its owner."""

    id: str
    status: Literal["ok", "error", "timeout"]
    error: str | None = None


class Suggestion(BaseModel):
    """Another query that may be meant; ``score`` lies between 0 and 1."""

    text: str
    score: float
    type: Literal["spelling", "semantic", "popular"]


class Suggestions(BaseModel):
    """Other queries, best first."""

    suggestions: list[Suggestion]


class DroppedWord(BaseModel):
    """A word that no index holds."""

    word: str
    reason: str


class UnknownWord(BaseModel):
    """A word that none of the searched indexes holds, and known words like it."""

    word: str
    suggestions: list[str]


class QueryOptimization(BaseModel):
    """What was made of the query."""

    originalQuery: str
    optimizedQuery: str
    mode: Literal["natural", "boolean"]
    droppedWords: list[DroppedWord]
    unknownWords: list[UnknownWord]


class SearchAnswer(BaseModel):
    """One page of matches; ``executionTime`` is milliseconds, ``degraded`` what was missing on the way.

    ``totalCountCapped`` says that there are more matches than were counted; ``trends`` comes when it was asked for.
    """

    results: list[SearchResult]
    categories: list[Category]
    suggestions: list[Suggestion]
    queryOptimization: QueryOptimization
    trends: Trend | None = None
    totalCount: int
    totalCountCapped: bool
    hasMore: bool
    executionTime: float
    page: int
    limit: int
    modeUsed: str
    degraded: list[str]
    cache: Literal["hit", "miss"]
    databases: list[SearchedDatabase]


class AnalyzedTable(BaseModel):
    """How one table would be searched; ``plan`` is the server's own, by EXPLAIN."""

    database: str
    table: str
    method: Literal["fulltext", "like"]
    columns: list[str]
    estimatedRows: int
    explainTime: float
    plan: list[dict[str, Any]]


class AnalyzedPerformance(BaseModel):
    """How the search would run; times are milliseconds."""

    tables: list[AnalyzedTable]
    databases: list[SearchedDatabase]
    estimatedRows: int
    fullTextTables: int
    likeTables: int
    executionTime: float


class Optimization(BaseModel):
    """What would make a search faster or better."""

    type: Literal["index", "query", "schema"]
    description: str
    impact: Literal["low", "medium", "high"]
    sqlSuggestion: str | None = None


class Analysis(BaseModel):
    """How a search would run, and what would make it faster."""

    query: str
    recommendations: list[str]
    performance: AnalyzedPerformance
    optimization: list[Optimization]


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
