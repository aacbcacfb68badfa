"""Health and metrics: bare answers, for machines; and the public status, in the envelope."""

from ipaddress import ip_address
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from search_api.authentication import KeyHolder, key_holder
from search_api.clock import UtcTime, now, rfc3339, uptime
from search_api.database import schema_fault
from search_api.envelope import Envelope, ok
from search_api.errors import ApiError
from search_api.metrics import render_metrics
from search_api.parts import PartStatus, worst
from search_api.services import AppServices, Services
from search_api.version import __version__

router = APIRouter(tags=["health"])
log = structlog.get_logger()

AdminKey = Annotated[KeyHolder, Depends(key_holder("admin"))]


class HealthOut(BaseModel):
    """That the process answers; ``uptime`` is seconds."""

    status: Literal["healthy"] = "healthy"
    timestamp: UtcTime
    version: str
    uptime: float


class ManagementHealthOut(HealthOut):
    """As HealthOut, with the ways to authenticate."""

    authenticationMethods: list[str]


class ReadyOut(BaseModel):
    """``failing`` says with 503 why no requests should come; ``degraded`` what is missing and not needed."""

    status: Literal["ready", "degraded", "not_ready"]
    timestamp: str
    version: str
    uptime: float
    degraded: list[str] | None = None
    failing: dict[str, str] | None = None
    redis: str | None = None


class PartOut(BaseModel):
    """One part of the service; ``responseTime`` is milliseconds."""

    status: PartStatus
    responseTime: float
    detail: dict[str, Any]


class DetailedOut(BaseModel):
    """Every part of the service as this worker sees it."""

    status: PartStatus
    timestamp: UtcTime
    version: str
    uptime: float
    parts: dict[str, PartOut]


class ServiceOut(BaseModel):
    """One part of the service, for everybody."""

    name: str
    status: PartStatus
    responseTime: float | None = None
    message: str | None = None


class StatusOut(BaseModel):
    """How the service is; ``uptime`` is seconds."""

    status: PartStatus
    timestamp: UtcTime
    services: list[ServiceOut]
    uptime: float
    version: str


@router.get("/health")
@router.get("/health/live")
async def live() -> HealthOut:
    """The process answers."""
    return HealthOut(timestamp=now(), version=__version__, uptime=uptime())


@router.get("/health/ready", response_model=ReadyOut)
def ready(services: AppServices) -> JSONResponse:
    """200 when requests may come: MySQL reachable, schema fits, not draining. The loss of Redis is ``degraded``,
    and so is that of an AI that the operator has named.
    """
    faults = _faults(services)
    redis = "ok" if services.cache.alive() else "unreachable"
    about = {"timestamp": rfc3339(now()), "version": __version__, "uptime": uptime()}
    if faults:
        log.warning("not ready", faults=faults)
        return JSONResponse(
            {"status": "not_ready"} | about | {"failing": faults, "redis": redis}, status_code=503
        )
    degraded = [] if redis == "ok" else ["redis"]
    if services.ai.switched_on and not services.ai.available():
        degraded.append("ai")
    return JSONResponse({"status": "degraded" if degraded else "ready"} | about | {"degraded": degraded})


@router.get("/health/detailed")
def detailed(services: AppServices, _caller: AdminKey) -> DetailedOut:
    """Every part with its state, for an administrator's key."""
    states = services.parts.look(services)
    return DetailedOut(
        status=worst(states),
        timestamp=now(),
        version=__version__,
        uptime=uptime(),
        parts={
            state.name: PartOut(
                status=state.status,
                responseTime=state.response_time,
                detail=state.detail | ({"message": state.message} if state.message else {}),
            )
            for state in states
        },
    )


@router.get("/api/v1/status", response_model_exclude_none=True)
def status(request: Request, services: AppServices) -> Envelope[StatusOut]:
    """How the service is, for everybody; looked up at most every two seconds."""
    states = services.parts.look(services)
    shown = StatusOut(
        status=worst(states),
        timestamp=now(),
        services=[
            ServiceOut(
                name=state.name,
                status=state.status,
                responseTime=state.response_time,
                message=state.message or None,
            )
            for state in states
        ],
        uptime=uptime(),
        version=__version__,
    )
    return ok(request, shown)


@router.get("/metrics", response_class=Response)
def metrics(request: Request, services: AppServices) -> Response:
    """Prometheus' text format, all workers together; for the scrape network only."""
    if not _may_scrape(request.scope["client_address"], services):
        raise ApiError(403, "FORBIDDEN", "Metrics are for the operator's scrape network only.")
    text, content_type = render_metrics()
    return Response(text, headers={"content-type": content_type})


@router.get("/api/v1/management/health")
async def management_health(request: Request) -> Envelope[ManagementHealthOut]:
    """As /health, in the envelope, with the ways to authenticate."""
    shown = ManagementHealthOut(
        timestamp=now(), version=__version__, uptime=uptime(), authenticationMethods=["jwt", "api_key"]
    )
    return ok(request, shown)


def _may_scrape(address: str, services: Services) -> bool:
    # No address: a caller at the Unix socket itself, whom no proxy sent. Only the machine's operator gets there.
    if not address:
        return True
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in services.settings.metrics_networks)


def _faults(services: Services) -> dict[str, str]:
    faults: dict[str, str] = {}
    if services.draining or (
        services.settings.drain_file is not None and services.settings.drain_file.exists()
    ):
        faults["draining"] = "this instance takes no new requests"
    try:
        if fault := schema_fault(services.engine):
            faults["schema"] = fault
    except SQLAlchemyError as error:
        missing = "1146" in str(getattr(error, "orig", ""))
        faults["schema" if missing else "mysql"] = (
            "the schema is missing; run `search-api migrate`" if missing else "unreachable"
        )
    return faults
