"""Shapes of figures: trends, analytics and what administrators see. As in ``shapes``, they document.

Times are milliseconds and shares lie between 0 and 1 unless a field says otherwise.
"""

from datetime import date
from typing import Any, Literal

from pydantic import BaseModel

from search_api.clock import UtcTime

PartStatus = Literal["healthy", "degraded", "unhealthy"]


class SearchedOften(BaseModel):
    """A database by how many searches went there."""

    name: str
    count: int


class Trend(BaseModel):
    """A span's searches; ``popularCategories`` are the databases searched."""

    period: str
    topQueries: list[str]
    queryVolume: int
    avgResponseTime: float
    popularCategories: list[SearchedOften]


class HistoryItem(BaseModel):
    """A search that was made; ``database`` is an id, or several with commas between."""

    id: str
    query: str
    database: str
    databases: list[str]
    searchMode: str
    resultCount: int
    executionTime: float
    cacheHit: bool
    status: str
    timestamp: UtcTime


class History(BaseModel):
    """A page of searches, and the number of all."""

    items: list[HistoryItem]
    total: int


class PerformanceDay(BaseModel):
    """A day with searches."""

    date: date
    avg_response_time: float
    max_response_time: float
    min_response_time: float
    total_queries: int
    avg_results: float


class ModeShare(BaseModel):
    """The searches of one mode."""

    search_mode: str
    count: int
    avg_time: float


class PerformanceSummary(BaseModel):
    """All days together."""

    totalQueries: int
    averageResponseTime: float
    averageResults: float


class Performance(BaseModel):
    """Times and results a day and a mode."""

    timeSeriesData: list[PerformanceDay]
    searchModeDistribution: list[ModeShare]
    summary: PerformanceSummary


class PopularQuery(BaseModel):
    """A query by how often it was asked."""

    query_text: str
    frequency: int
    avg_time: float
    avg_results: float
    last_used: UtcTime


class Insight(BaseModel):
    """What stands out; ``data`` holds the figures behind it, by its type."""

    type: Literal["no_results", "failures", "slow_searches", "volume"]
    confidence: float
    description: str
    actionable: bool
    data: dict[str, Any]


class DashboardSummary(BaseModel):
    """The span in six figures; ``topQuery`` is null when nothing was searched."""

    totalQueries: int
    averageResponseTime: float
    successRate: float
    activeUsers: int
    databasesSearched: int
    topQuery: str | None


class Dashboard(BaseModel):
    """Everything at once."""

    trends: Trend
    performance: Performance
    popularQueries: list[PopularQuery]
    insights: list[Insight]
    summary: DashboardSummary


class Pattern(BaseModel):
    """A query and how often it was asked."""

    query: str
    count: int


class Growth(BaseModel):
    """Percent more than in the span of the same length before; null when nothing was searched then."""

    queryVolume: float | None


class DayVolume(BaseModel):
    """The searches of a day."""

    date: date
    queries: int


class Patterns(BaseModel):
    """Volume a day and its growth; every day of the span is there."""

    period: str
    queryVolume: int
    popularCategories: list[SearchedOften]
    searchPatterns: list[Pattern]
    growth: Growth
    dailyBreakdown: list[DayVolume]


class KeyRequests(BaseModel):
    """Requests with one key."""

    keyId: str
    name: str
    requests: int


class UsageOfSpan(BaseModel):
    """Requests of one's keys and searches by mode."""

    period: str
    totalRequests: int
    totalQueries: int
    cacheHits: int
    failedQueries: int
    averageResponseTime: float
    byMode: dict[str, int]
    byKey: list[KeyRequests]


class SystemHealth(BaseModel):
    """The machine that answers: usage is percent, ``uptime`` seconds."""

    status: PartStatus
    uptime: float
    memoryUsage: float
    cpuUsage: float


class SystemOverview(BaseModel):
    """Users, searches, databases, health."""

    totalUsers: int
    totalSearches: int
    totalDatabases: int
    systemHealth: SystemHealth


class ActiveUser(BaseModel):
    """A user by searches."""

    userId: str
    email: str
    searchCount: int
    lastActive: UtcTime


class UserActivity(BaseModel):
    """Who searched; those with the most searches first."""

    activeUsers: int
    newUsers: int
    topUsers: list[ActiveUser]


class MachineSources(BaseModel):
    """Where a figure comes from, when the system hides a part of itself from the service."""

    cpuUsage: Literal["machine", "service"]
    memoryUsage: Literal["machine", "sysconf"]


class MachineFigures(BaseModel):
    """The machine that answers: usage is percent, ``uptime`` seconds."""

    cpuUsage: float
    memoryUsage: float
    diskUsage: float
    uptime: float
    sources: MachineSources


class ApiFigures(BaseModel):
    """The service on this machine since its start; ``errorRate`` is the share of answers with 5xx."""

    requestsPerSecond: float
    averageResponseTime: float
    errorRate: float


class DatabaseFigures(BaseModel):
    """The databases as this machine sees them; ``connectionPoolUsage`` is percent, slow is a second or more."""

    connectionPoolUsage: float
    averageQueryTime: float
    slowQueries: int


class SearchFigures(BaseModel):
    """Everybody's searches in the span."""

    total: int
    averageResponseTime: float
    successRate: float
    cacheHits: int


class PerformanceMetrics(BaseModel):
    """The machine that answers, the service on it, its databases; and all searches of the span."""

    system: MachineFigures
    api: ApiFigures
    database: DatabaseFigures
    searches: SearchFigures
