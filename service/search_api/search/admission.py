"""Admits POST search before any routing. A cached answer came along with the admission and is sent as it is."""

import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from search_api.authentication import KeyHolder, admit
from search_api.envelope import ok_bytes
from search_api.search.answer import Asked, SearchMode, SearchQuestion, answer_cached, digest_of
from search_api.services import Services

PATH = "/api/v1/search"
PERMISSION = "search"
_REMEMBERED_BODY = 2_048

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


@dataclass(frozen=True)
class Admitted:
    """A caller whose question was not answered from the cache. ``asked`` is None when the body is no question.

    ``cached`` is the cached answer when something has to be added to it that waits.
    """

    holder: KeyHolder
    asked: Asked | None
    cached: bytes | None


@dataclass(frozen=True)
class _Route:
    path: str = PATH


class SearchAdmissionMiddleware:
    """Stands inside the limit of bodies, so that a body comes in one piece.

    What is not answered here goes on to the route, with an Admitted or the error in the scope as ``admission``.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        message = await receive()
        body = message.get("body", b"")
        services: Services = scope["app"].state.services
        try:
            admitted = await _admit(scope, services, body)
        except Exception as error:  # the route raises it again, where errors become answers
            scope["admission"] = error
        else:
            scope["admission"] = admitted
            asked, cached = admitted.asked, admitted.cached
            if asked is not None and cached is not None and not asked.question.with_trends:
                scope["route"] = _Route()
                answer = answer_cached(services, asked, cached)
                await _send(send, ok_bytes(scope, answer.data, answer.milliseconds, admitted.holder.tier))
                return
        await self._app(scope, _replay(message, receive), send)


def admission_of(scope: MutableMapping[str, Any]) -> Admitted:
    """What the middleware found out about the request. Raises what it could not raise there."""
    found = scope["admission"]
    if isinstance(found, Exception):
        raise found
    if not isinstance(found, Admitted):
        raise TypeError("the request was not admitted")
    return found


async def _admit(scope: Scope, services: Services, body: bytes) -> Admitted:
    started = time.perf_counter()
    # Who the caller is comes first: a body that is no question is admitted too, and its fault answered after that.
    question, digest = _read_again(body) if len(body) <= _REMEMBERED_BODY else _read(body)
    if not services.settings.cache_search_seconds:
        digest = ""
    holder, verdict = await admit(scope, services, PERMISSION, digest)
    if question is None:
        return Admitted(holder, None, None)
    asked = Asked(holder.user_id, holder.key_id, question, digest, verdict.connections, started, holder.tier)
    return Admitted(holder, asked, verdict.cached)


def _read(body: bytes) -> tuple[SearchQuestion | None, str]:
    try:
        read = SearchBody.model_validate_json(body)
    except ValidationError:
        return None, ""
    question = SearchQuestion(
        query=read.query,
        databases=tuple(dict.fromkeys(str(item) for item in read.databases)) if read.databases else None,
        tables=frozenset(read.tables) if read.tables else None,
        columns=frozenset(read.columns) if read.columns else None,
        mode=read.searchMode,
        limit=read.limit,
        offset=read.offset,
        with_trends=read.includeAnalytics,
    )
    return question, digest_of(question)


_read_again = lru_cache(maxsize=1024)(_read)


async def _send(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _replay(message: Message, receive: Receive) -> Receive:
    waiting: list[Message] = [message]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
