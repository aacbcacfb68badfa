"""POST search, and what helps to search: suggestions, analysis, history, trends."""

from typing import Annotated, Any
from uuid import UUID

import anyio.to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from search_api.analytics.figures import trend
from search_api.analytics.queries import history as searches_of
from search_api.analytics.span import AskedSpan
from search_api.authentication import AnalyticsKey, SearchKey
from search_api.envelope import Envelope, ok, ok_bytes
from search_api.errors import ApiError, invalid
from search_api.search.admission import Admitted, SearchBody, admission_of
from search_api.search.analyze import analyze
from search_api.search.answer import answer_search
from search_api.search.suggest import suggest
from search_api.services import AppServices

router = APIRouter(prefix="/api/v1/search", tags=["search"])


async def _admitted(request: Request) -> Admitted:
    return admission_of(request.scope)


class AnalyzeBody(BaseModel):
    """An absent or empty list means all of the user's databases."""

    query: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
    databases: Annotated[list[UUID], Field(max_length=100)] | None = None


@router.post("", response_model=Envelope[dict[str, Any]])
async def search(
    request: Request,
    body: SearchBody,  # noqa: ARG001 (documents and judges the body; its content came with the admission)
    services: AppServices,
    admitted: Annotated[Admitted, Depends(_admitted)],
) -> Response:
    """One page of matches over the caller's databases."""
    if admitted.asked is None:
        raise ApiError(400, "INVALID_JSON", "The request body cannot be read.")
    answer = await anyio.to_thread.run_sync(answer_search, services, admitted.asked, admitted.cached)
    body_bytes = ok_bytes(request.scope, answer.data, answer.milliseconds, admitted.holder.tier)
    return Response(body_bytes, media_type="application/json")


@router.get("/suggestions")
def suggestions(
    request: Request,
    services: AppServices,
    caller: SearchKey,
    query: Annotated[str, Query(min_length=1, max_length=500)],
    databases: Annotated[list[str] | None, Query(description="repeated, or comma separated")] = None,
    tables: Annotated[list[str] | None, Query(description="repeated, or comma separated")] = None,
) -> Envelope[dict[str, Any]]:
    """Other queries that may be meant: corrected spelling, one's own popular searches."""
    if not query.strip():
        raise invalid("query", "holds no word", "no_words")
    names = _separated(tables)
    found = suggest(
        services, caller.user_id, query.strip(), _ids(databases), frozenset(names) if names else None
    )
    return ok(request, {"suggestions": found}, tier=caller.tier)


@router.post("/analyze")
def analyze_search(
    request: Request, body: AnalyzeBody, services: AppServices, caller: AnalyticsKey
) -> Envelope[dict[str, Any]]:
    """How a search would run, and what would make it faster. Nothing is searched."""
    ids = tuple(dict.fromkeys(str(item) for item in body.databases)) if body.databases else None
    return ok(request, analyze(services, caller.user_id, body.query, ids), tier=caller.tier)


@router.get("/trends")
def trends(
    request: Request, services: AppServices, caller: AnalyticsKey, span: AskedSpan
) -> Envelope[dict[str, Any]]:
    """Volume, times and the most frequent queries of the key's owner."""
    return ok(request, trend(services, caller.user_id, span), tier=caller.tier)


@router.get("/history")
def history(
    request: Request,
    services: AppServices,
    caller: SearchKey,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Envelope[list[dict[str, Any]]]:
    """Searches of the key's owner, newest first."""
    return ok(request, searches_of(services, caller.user_id, None, limit, offset)[0], tier=caller.tier)


def _separated(values: list[str] | None) -> list[str]:
    """Repeated parameters, each of which may hold several with commas between."""
    parts = (part.strip() for value in values or () for part in value.split(","))
    return list(dict.fromkeys(part for part in parts if part))


def _ids(values: list[str] | None) -> tuple[str, ...] | None:
    try:
        return tuple(str(UUID(part)) for part in _separated(values)) or None
    except ValueError:
        raise invalid("databases", "holds something that is no id", "uuid_parsing") from None
