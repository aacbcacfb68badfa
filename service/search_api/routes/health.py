"""Health and metrics: bare answers, for machines."""

from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError

from search_api.clock import now, rfc3339, uptime
from search_api.database import schema_fault
from search_api.envelope import Envelope, ok
from search_api.metrics import render_metrics
from search_api.services import AppServices, Services
from search_api.version import __version__

router = APIRouter(tags=["health"])
log = structlog.get_logger()


@router.get("/health")
@router.get("/health/live")
async def live() -> dict[str, Any]:
    """The process answers."""
    return _about("healthy")


@router.get("/health/ready")
def ready(services: AppServices) -> JSONResponse:
    """200 when requests may come: MySQL reachable, schema fits, not draining. The loss of Redis is ``degraded``."""
    faults = _faults(services)
    redis = "ok" if services.cache.alive() else "unreachable"
    if faults:
        log.warning("not ready", faults=faults)
        return JSONResponse(_about("not_ready") | {"failing": faults, "redis": redis}, status_code=503)
    degraded = [] if redis == "ok" else ["redis"]
    return JSONResponse(_about("degraded" if degraded else "ready") | {"degraded": degraded})


@router.get("/metrics")
def metrics() -> Response:
    """Prometheus' text format, all workers together."""
    text, content_type = render_metrics()
    return Response(text, headers={"content-type": content_type})


@router.get("/api/v1/management/health")
async def management_health(request: Request) -> Envelope[dict[str, Any]]:
    """As /health, in the envelope, with the ways to authenticate."""
    return ok(request, _about("healthy") | {"authenticationMethods": ["jwt", "api_key"]})


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


def _about(status: str) -> dict[str, Any]:
    return {"status": status, "timestamp": rfc3339(now()), "version": __version__, "uptime": uptime()}
