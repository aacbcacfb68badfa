"""The document and the page to try it in, from this server alone: no other host is asked for anything."""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

router = APIRouter(prefix="/api/v1", include_in_schema=False)

_SCRIPT = "application/javascript"
# Name to package, file in it, media type. Swagger UI comes with the package fastapi_offline.
_ASSETS = {
    "swagger-ui-bundle.js": ("fastapi_offline", "swagger-ui-bundle.js", _SCRIPT),
    "swagger-ui.css": ("fastapi_offline", "swagger-ui.css", "text/css"),
    "favicon.png": ("fastapi_offline", "favicon.png", "image/png"),
    "docs.js": ("search_api.documentation", "docs.js", _SCRIPT),
    "docs.css": ("search_api.documentation", "docs.css", "text/css"),
}
# Scripts, styles and images from files only; what the page tries goes to this server.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Asset:
    """A file as it is sent."""

    content: bytes
    media_type: str

    @property
    def tag(self) -> str:
        """Its ETag."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'


@router.get("/openapi.json")
def read_document(request: Request) -> Response:
    """The OpenAPI document."""
    return _send(request, Asset(_document(request), "application/json"))


@router.get("/docs")
def read_page(request: Request) -> Response:
    """The page, with a content policy that lets it load what it consists of and nothing else."""
    answer = _send(request, _asset("search_api.documentation", "docs.html", "text/html; charset=utf-8"))
    answer.headers["content-security-policy"] = CONTENT_POLICY
    return answer


@router.get("/docs/{name}")
def read_asset(request: Request, name: str) -> Response:
    """One of the page's files. 404 for any other name."""
    if name not in _ASSETS:
        raise HTTPException(404)
    return _send(request, _asset(*_ASSETS[name]))


def _send(request: Request, asset: Asset) -> Response:
    # Kept by the browser and asked after each time: a release may bring another.
    headers = {"etag": asset.tag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match", "").removeprefix("W/") == asset.tag:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, headers=headers, media_type=asset.media_type)


def _document(request: Request) -> bytes:
    state = request.app.state
    if not hasattr(state, "document"):
        state.document = json.dumps(request.app.openapi(), separators=(",", ":")).encode()
    content: bytes = state.document
    return content


@lru_cache
def _asset(package: str, name: str, media_type: str) -> Asset:
    return Asset(files(package).joinpath("static", name).read_bytes(), media_type)
