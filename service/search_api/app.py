"""The ASGI application: routes, middleware, and how errors become answers."""

import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import anyio
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client.multiprocess import mark_process_dead
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from search_api.cors import EnvelopedCors
from search_api.documentation import page
from search_api.documentation.described_api import DescribedApi
from search_api.envelope import error_response
from search_api.errors import ApiError
from search_api.limits.standing import HEADERS
from search_api.logs import configure_logs
from search_api.metrics import forget_start_up_cpu
from search_api.middleware import BodyLimitMiddleware, RequestMiddleware
from search_api.routes import admin_analytics, analytics, auth, databases, health, keys, management, search
from search_api.search.admission import SearchAdmissionMiddleware
from search_api.services import Services
from search_api.settings import Settings, load_settings
from search_api.version import __version__
from search_api.warming import Warmer

log = structlog.get_logger()


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application. Raises SettingsError when the settings cannot be used."""
    settings = settings or load_settings()
    configure_logs(settings)
    app = DescribedApi(lifespan=_lifespan)
    app.state.settings = settings
    for module in (auth, keys, databases, search, analytics, admin_analytics, management, health, page):
        app.add_described(module.router)
    _answer_errors_in_the_envelope(app)
    # The last one added is the outermost.
    app.add_middleware(SearchAdmissionMiddleware)
    app.add_middleware(BodyLimitMiddleware, limit=settings.max_body_bytes)
    app.add_middleware(
        EnvelopedCors,
        allow_origins=list(settings.cors_origins),
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-Id"],
        expose_headers=["X-Request-Id", "Retry-After", *HEADERS],
        max_age=600,
    )
    app.add_middleware(RequestMiddleware, settings=settings)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    services = Services(settings)
    app.state.services = services
    anyio.to_thread.current_default_thread_limiter().total_tokens = settings.threads
    services.usage.start()
    services.records.start()
    _look_for_garbage_less_often()
    warmer = Warmer(services)
    warmer.start()
    services.ai.start()
    forget_start_up_cpu()
    log.info("started", version=__version__)
    try:
        yield
    finally:
        services.draining = True
        services.admissions.close()
        await anyio.to_thread.run_sync(warmer.stop)
        await anyio.to_thread.run_sync(services.close)
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]
        log.info("stopped", version=__version__)


def _look_for_garbage_less_often() -> None:
    """What was loaded at the start lives for ever and is not looked at again; requests leave few circles behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _answer_errors_in_the_envelope(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    async def _api_error(request: Request, error: ApiError) -> Response:
        return error_response(error, request.scope["request_id"])

    @app.exception_handler(RequestValidationError)
    async def _not_valid(request: Request, error: RequestValidationError) -> Response:
        return error_response(_validation_error(error), request.scope["request_id"])

    @app.exception_handler(HTTPException)
    async def _http_error(request: Request, error: HTTPException) -> Response:
        return error_response(_plain_http_error(error), request.scope["request_id"])

    @app.exception_handler(DBAPIError)
    @app.exception_handler(PoolTimeoutError)
    async def _own_database(request: Request, error: Exception) -> Response:
        log.error(
            "the service's own database failed",
            error=type(error).__name__,
            reason=str(getattr(error, "orig", "")),
        )
        failure = ApiError(503, "CONNECTION_ERROR", "The service cannot reach its own database; try again.")
        failure.headers["retry-after"] = "1"
        return error_response(failure, request.scope["request_id"])


def _validation_error(error: RequestValidationError) -> ApiError:
    problems = error.errors()
    if any(problem["type"] == "json_invalid" for problem in problems):
        return ApiError(400, "INVALID_JSON", "The request body is not JSON.")
    details = [
        {
            "field": ".".join(str(part) for part in problem["loc"][1:]) or str(problem["loc"][0]),
            "message": str(problem["msg"]).removeprefix("Value error, "),
            "code": str(problem["type"]),
        }
        for problem in problems
    ]
    return ApiError(400, "VALIDATION_ERROR", "The request is not valid.", details=details)


def _plain_http_error(error: HTTPException) -> ApiError:
    codes = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: "PAYLOAD_TOO_LARGE"}
    if error.status_code == HTTPStatus.BAD_REQUEST:
        return ApiError(400, "INVALID_JSON", "The request body cannot be read.", headers=error.headers)
    message = HTTPStatus(error.status_code).phrase + "."
    return ApiError(
        error.status_code, codes.get(error.status_code, "INTERNAL_ERROR"), message, headers=error.headers
    )
