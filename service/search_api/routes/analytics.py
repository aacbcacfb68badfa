"""Analytics of one's own searches."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from search_api.analytics import figures, queries
from search_api.analytics.insights import insights
from search_api.analytics.span import AskedSpan
from search_api.authentication import Login
from search_api.envelope import Envelope, ok
from search_api.services import AppServices

router = APIRouter(prefix="/api/v1/analytics", tags=["analytics"])

Limit = Annotated[int, Query(ge=1, le=100)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]
Figures = Envelope[dict[str, Any]]
FiguresList = Envelope[list[dict[str, Any]]]


@router.get("/search-trends")
def search_trends(request: Request, services: AppServices, caller: Login, span: AskedSpan) -> Figures:
    """Volume, times and the most frequent queries."""
    return ok(request, figures.trend(services, caller.user.id, span))


@router.get("/performance")
def performance(request: Request, services: AppServices, caller: Login, span: AskedSpan) -> Figures:
    """Times and results a day and a mode."""
    return ok(request, figures.performance(services, caller.user.id, span))


@router.get("/popular-queries")
def popular(
    request: Request, services: AppServices, caller: Login, span: AskedSpan, limit: Limit = 10
) -> FiguresList:
    """The most frequent queries."""
    return ok(request, queries.popular_queries(services, caller.user.id, span, limit))


@router.get("/search-history")
def search_history(
    request: Request,
    services: AppServices,
    caller: Login,
    span: AskedSpan,
    limit: Limit = 20,
    offset: Offset = 0,
) -> Figures:
    """A page of one's searches, newest first, and the number of all in the span."""
    items, total = queries.history(services, caller.user.id, span, limit, offset)
    return ok(request, {"items": items, "total": total})


@router.get("/history")
def history(
    request: Request,
    services: AppServices,
    caller: Login,
    span: AskedSpan,
    limit: Limit = 20,
    offset: Offset = 0,
) -> FiguresList:
    """The items of search-history."""
    return ok(request, queries.history(services, caller.user.id, span, limit, offset)[0])


@router.get("/insights")
def insights_(request: Request, services: AppServices, caller: Login, span: AskedSpan) -> FiguresList:
    """What stands out."""
    return ok(request, insights(services, caller.user.id, span))


@router.get("/dashboard")
def dashboard(request: Request, services: AppServices, caller: Login, span: AskedSpan) -> Figures:
    """Everything at once."""
    return ok(request, figures.dashboard(services, caller.user.id, span))


@router.get("/trends")
def trends(request: Request, services: AppServices, caller: Login, span: AskedSpan) -> Figures:
    """Volume a day, its growth, and the most frequent queries."""
    return ok(request, figures.patterns(services, caller.user.id, span))


@router.get("/usage")
def usage(request: Request, services: AppServices, caller: Login, span: AskedSpan) -> Figures:
    """Requests of one's keys and searches by mode."""
    return ok(request, figures.usage(services, caller.user.id, span))
