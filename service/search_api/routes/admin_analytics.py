"""Analytics over all users, for administrators."""

from typing import Any

from fastapi import APIRouter, Depends, Request

from search_api.analytics import fleet
from search_api.analytics.span import AskedSpan
from search_api.authentication import Login
from search_api.envelope import Envelope, ok
from search_api.errors import ApiError
from search_api.services import AppServices


def _administrator(caller: Login) -> None:
    if caller.user.role != "admin":
        raise ApiError(403, "FORBIDDEN", "Only administrators see this.")


router = APIRouter(
    prefix="/api/v1/analytics/admin", tags=["administration"], dependencies=[Depends(_administrator)]
)
Figures = Envelope[dict[str, Any]]


@router.get("/system-overview")
def system_overview(request: Request, services: AppServices) -> Figures:
    """Users, searches, databases, health."""
    return ok(request, fleet.system_overview(services))


@router.get("/user-activity")
def user_activity(request: Request, services: AppServices, span: AskedSpan) -> Figures:
    """Who searched."""
    return ok(request, fleet.user_activity(services, span))


@router.get("/performance-metrics")
def performance_metrics(request: Request, services: AppServices, span: AskedSpan) -> Figures:
    """The machine that answers, the service on it, its databases."""
    return ok(request, fleet.performance_metrics(services, span))
