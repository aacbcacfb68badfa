"""The envelope around every answer under /api/v1."""

import json
from typing import Any, Generic, Literal, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel
from starlette.types import Scope

from search_api.clock import UtcTime, now, rfc3339
from search_api.errors import ApiError
from search_api.version import __version__


class Meta(BaseModel):
    """What every answer says about itself. ``executionTime`` is milliseconds."""

    timestamp: UtcTime
    requestId: str
    version: str
    executionTime: float | None = None
    apiKeyTier: str | None = None


T = TypeVar("T")


class Envelope(BaseModel, Generic[T]):
    """A success."""

    success: Literal[True] = True
    data: T
    meta: Meta


class Done(BaseModel):
    """The data of an answer that has nothing else to say."""

    success: Literal[True] = True


def ok(
    request: Request, data: T, *, execution_time: float | None = None, tier: str | None = None
) -> Envelope[T]:
    """Wrap data for the answer to this request."""
    meta = Meta(
        timestamp=now(),
        requestId=request.scope["request_id"],
        version=__version__,
        executionTime=execution_time,
        apiKeyTier=tier,
    )
    return Envelope(data=data, meta=meta)


def ok_bytes(scope: Scope, data: bytes, execution_time: float, tier: str) -> bytes:
    """As ``ok``, for data that is JSON already: it is neither parsed nor written again."""
    meta = (
        f',"meta":{{"timestamp":"{rfc3339(now())}","requestId":"{scope["request_id"]}",'
        f'"version":"{__version__}","executionTime":{execution_time},"apiKeyTier":"{tier}"}}}}'
    )
    return b'{"success":true,"data":' + data + meta.encode()


def error_response(error: ApiError, request_id: str) -> Response:
    """The error in its envelope."""
    body: dict[str, Any] = {
        "success": False,
        "error": {"code": error.code, "message": error.message},
        "meta": {"timestamp": rfc3339(now()), "requestId": request_id, "version": __version__},
    }
    if error.details is not None:
        body["error"]["details"] = error.details
    return Response(
        json.dumps(body), status_code=error.status, headers=error.headers, media_type="application/json"
    )
