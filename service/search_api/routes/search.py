"""POST search."""

import time
from typing import Annotated, Any
from uuid import UUID

import anyio.to_thread
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field, StringConstraints, ValidationError

from search_api.authentication import KeyHolder, admit
from search_api.envelope import Envelope, ok_bytes
from search_api.errors import ApiError
from search_api.search.answer import (
    Asked,
    SearchMode,
    SearchQuestion,
    answer_cached,
    answer_search,
    digest_of,
)
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


async def _admitted(request: Request, services: AppServices) -> tuple[Asked | None, KeyHolder, bytes | None]:
    """The question and its cached answer by the one call that admits the caller.

    A body that is not valid admits too: who the caller is comes first, and the fault is answered after it.
    """
    started = time.perf_counter()
    question = _question(await request.body())
    digest = digest_of(question) if question and services.settings.cache_search_seconds else ""
    holder, verdict = await admit(request, services, "search", digest)
    if question is None:
        return None, holder, None
    asked = Asked(holder.user_id, holder.key_id, question, digest, verdict.connections, started)
    return asked, holder, verdict.cached


@router.post("", response_model=Envelope[dict[str, Any]])
async def search(
    request: Request,
    body: SearchBody,  # noqa: ARG001 (documents and judges the body; its content came with the admission)
    services: AppServices,
    admitted: Annotated[tuple[Asked | None, KeyHolder, bytes | None], Depends(_admitted)],
) -> Response:
    """One page of matches over the caller's databases."""
    asked, holder, cached = admitted
    if asked is None:
        raise ApiError(400, "INVALID_JSON", "The request body cannot be read.")
    if cached is not None and not asked.question.with_trends:
        answer = answer_cached(services, asked, cached)
    else:
        answer = await anyio.to_thread.run_sync(answer_search, services, asked, cached)
    return ok_bytes(request, answer.data, execution_time=answer.milliseconds, tier=holder.tier)


def _question(body: bytes) -> SearchQuestion | None:
    try:
        read = SearchBody.model_validate_json(body)
    except ValidationError:
        return None
    return SearchQuestion(
        query=read.query,
        databases=tuple(dict.fromkeys(str(item) for item in read.databases)) if read.databases else None,
        tables=frozenset(read.tables) if read.tables else None,
        columns=frozenset(read.columns) if read.columns else None,
        mode=read.searchMode,
        limit=read.limit,
        offset=read.offset,
        with_trends=read.includeAnalytics,
    )
