"""POST search."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, StringConstraints

from search_api.authentication import SearchKey
from search_api.envelope import Envelope, ok
from search_api.search.answer import SearchMode, SearchQuestion, answer_search
from search_api.services import AppServices

router = APIRouter(prefix="/api/v1/search", tags=["search"])

Names = Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=200)]


class SearchBody(BaseModel):
    """An absent or empty list means all of the user's databases, all searchable tables, all indexed columns."""

    query: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
    databases: Annotated[list[UUID], Field(max_length=100)] | None = None
    tables: Names | None = None
    columns: Names | None = None
    searchMode: SearchMode = "natural"
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    includeAnalytics: bool = False


@router.post("")
def search(
    request: Request, body: SearchBody, services: AppServices, caller: SearchKey
) -> Envelope[dict[str, Any]]:
    """One page of matches over the caller's databases."""
    question = SearchQuestion(
        query=body.query,
        databases=tuple(dict.fromkeys(str(item) for item in body.databases)) if body.databases else None,
        tables=frozenset(body.tables) if body.tables else None,
        columns=frozenset(body.columns) if body.columns else None,
        mode=body.searchMode,
        limit=body.limit,
        offset=body.offset,
        with_trends=body.includeAnalytics,
    )
    data = answer_search(services, caller.user_id, caller.key_id, question, caller.tier)
    return ok(request, data, execution_time=data["executionTime"], tier=caller.tier)
