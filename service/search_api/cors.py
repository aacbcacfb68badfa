"""Cross-origin calls of browsers, by the operator's list; a refusal is in the envelope like every other error."""

import structlog
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from search_api.envelope import error_response
from search_api.errors import ApiError


class EnvelopedCors(CORSMiddleware):
    """Starlette's own, which answers a refused preflight in plain text."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a browser's question whether it may call."""
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        error = ApiError(403, "FORBIDDEN", "Browsers may not call from this origin, method or header.")
        refused = error_response(error, structlog.contextvars.get_contextvars().get("request_id", ""))
        refused.headers["vary"] = "Origin"
        return refused
