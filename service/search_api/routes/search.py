"""POST search."""

from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Depends, Request, Response

from search_api.envelope import Envelope, ok_bytes
from search_api.errors import ApiError
from search_api.search.admission import Admitted, SearchBody, admission_of
from search_api.search.answer import answer_search
from search_api.services import AppServices

router = APIRouter(prefix="/api/v1/search", tags=["search"])


async def _admitted(request: Request) -> Admitted:
    return admission_of(request.scope)


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
