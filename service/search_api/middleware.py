"""What surrounds every request, as plain ASGI: request id, metrics, log line, security headers, size limit."""

import re
import time
import uuid
from functools import lru_cache

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from search_api import metrics
from search_api.client_address import client_address
from search_api.envelope import error_response
from search_api.errors import ApiError
from search_api.logs import log_request
from search_api.settings import Settings

log = structlog.get_logger()

_REQUEST_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{7,127}$")
_QUIET = ("/health", "/metrics")
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "cache-control": "no-store",
}


_SECURITY = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
_READ_HERE = (b"x-request-id", b"x-forwarded-for")


class RequestMiddleware:
    """Names the request, times it, counts it, logs it, and turns what nobody caught into a 500 in the envelope."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        trusted = settings.trusted_proxies

        @lru_cache(maxsize=4096)
        def address_of(peer: str | None, forwarded: str) -> str:
            return client_address(peer, forwarded, trusted, peer_is_local_socket=not peer)

        self._address_of = address_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        started = time.perf_counter()
        if scope["method"] == "HEAD":
            # Answered as GET is; the server leaves the body out by the method that it received.
            scope = dict(scope, method="GET")
            answer = _Answer(scope, send, method="HEAD")
        self._describe(scope)
        structlog.contextvars.bind_contextvars(request_id=scope["request_id"])
        try:
            await self._app(scope, receive, answer.send)
        except Exception as error:  # the last resort: nothing may reach the server as a bare failure
            log.exception("request failed", error=type(error).__name__)
            if answer.status == 0:
                failure = ApiError(500, "INTERNAL_ERROR", "Something went wrong on our side.")
                await error_response(failure, scope["request_id"])(scope, receive, answer.send)
        finally:
            await release_lease(scope)
            self._count(scope, answer, time.perf_counter() - started)
            structlog.contextvars.clear_contextvars()

    def _describe(self, scope: Scope) -> None:
        sent = {name: value for name, value in scope["headers"] if name in _READ_HERE}
        offered = sent.get(b"x-request-id", b"").decode("latin-1")
        scope["request_id"] = offered if _REQUEST_ID.match(offered) else str(uuid.uuid4())
        peer = scope["client"][0] if scope.get("client") else None
        forwarded = sent.get(b"x-forwarded-for", b"").decode("latin-1")
        scope["client_address"] = self._address_of(peer or None, forwarded)

    def _count(self, scope: Scope, answer: "_Answer", seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = answer.method if answer.method in _METHODS else "OTHER"
        metrics.count_request(method, route, str(answer.status), seconds, answer.body_bytes)
        if tier := scope.get("api_key_tier"):
            metrics.key_use(tier, route, str(answer.status)).inc()
        metrics.count_cpu()
        if not (scope["path"].startswith(_QUIET) and answer.status < 400):
            log_request(
                request_id=scope["request_id"],
                method=method,
                route=route,
                status=answer.status,
                milliseconds=round(seconds * 1000, 2),
                client=scope["client_address"],
            )


_METHODS = {"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"}


async def release_lease(scope: Scope) -> None:
    """Let go of the request's place among those of its API key, if it holds one."""
    verdict = scope.get("verdict")
    if verdict is not None and verdict.lease:
        await scope["app"].state.services.admissions.release(verdict)


class _Answer:
    """Watches the answer pass and adds the headers that every answer has."""

    def __init__(self, scope: Scope, send: Send, method: str | None = None) -> None:
        self._scope = scope
        self._send = send
        self.method = method or scope["method"]
        self.status = 0
        self.body_bytes = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            # Before the caller hears the answer: its next request must find the place free.
            await release_lease(self._scope)
            self.status = message["status"]
            headers = [item for item in message.get("headers", ()) if item[0] != b"x-request-id"]
            present = {name for name, _ in headers}
            headers.append((b"x-request-id", self._scope["request_id"].encode()))
            headers.extend(item for item in _SECURITY if item[0] not in present)
            headers.extend(self._scope.get("limit_headers", ()))
            message["headers"] = headers
        elif message["type"] == "http.response.body":
            self.body_bytes += len(message.get("body", b""))
        await self._send(message)


class BodyLimitMiddleware:
    """Reads a request body up to the limit and hands it on whole; beyond it the answer is 413."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS", "DELETE"):
            await self._app(scope, receive, send)
            return
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        if declared.isdigit() and int(declared) > self._limit:
            await self._refuse(scope, receive, send)
            return
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > self._limit:
                await self._refuse(scope, receive, send)
                return
            if not message.get("more_body", False):
                break
        whole: Message | None = {"type": "http.request", "body": bytes(body), "more_body": False}

        async def replay() -> Message:
            nonlocal whole
            message, whole = whole, None
            return message if message is not None else await receive()

        await self._app(scope, replay, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = ApiError(413, "PAYLOAD_TOO_LARGE", f"The request body is larger than {self._limit} bytes.")
        error.headers["connection"] = "close"
        await error_response(error, scope["request_id"])(scope, receive, send)
