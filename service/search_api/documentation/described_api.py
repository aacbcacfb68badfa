"""The application class: FastAPI with the document of this package."""

from typing import Any

from fastapi import APIRouter, FastAPI

from search_api.documentation.openapi import build_document
from search_api.version import __version__


class DescribedApi(FastAPI):
    """Serves no document of FastAPI's own; builds this service's once, when it is first asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            title="Search API",
            version=__version__,
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
            # A redirect to the path without its slash would name the scheme and host of this hop, not the caller's.
            redirect_slashes=False,
            **options,
        )
        self._routers: list[APIRouter] = []

    def add_described(self, router: APIRouter) -> None:
        """Serve a router and describe it."""
        self.include_router(router)
        self._routers.append(router)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        if self.openapi_schema is None:
            self.openapi_schema = build_document(self._routers)
        return self.openapi_schema
