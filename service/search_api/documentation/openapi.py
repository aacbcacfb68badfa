"""The OpenAPI document: what FastAPI derives from the routes, and what all operations have in common.

Security is read from what an operation depends on, so that the document cannot say other than the code does.
"""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from search_api.authentication import KeyHolder, LoggedIn
from search_api.documentation.operations import MEANINGS, OPERATIONS, Described
from search_api.documentation.shapes import ErrorEnvelope
from search_api.envelope import Envelope
from search_api.search.admission import PERMISSION as SEARCH_PERMISSION
from search_api.search.admission import Admitted
from search_api.version import __version__

JsonObject = dict[str, Any]

DESCRIPTION = """\
Full-text search over your own MySQL or MariaDB databases.

1. `POST /api/v1/auth/register`, then put the `token` into *Authorize → login*.
2. `POST /api/v1/management/setup` makes the first API key: put it into *Authorize → apiKey*.
3. `POST /api/v1/databases` adds a database, `POST /api/v1/search` searches it.

Every answer under `/api/v1` has the same envelope: `{success, data, meta}` or `{success, error, meta}`.
"""
_REF = "#/components/schemas/{model}"
_SCHEMES: JsonObject = {
    "login": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The token of POST /api/v1/auth/login.",
    },
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
    "apiKeyBearer": {"type": "http", "scheme": "bearer", "description": "An API key, as a bearer token."},
}
_LOGIN_ERRORS = ("401 NO_TOKEN", "401 INVALID_AUTH_FORMAT", "401 INVALID_TOKEN", "401 TOKEN_EXPIRED")
_KEY_ERRORS = (
    "401 NO_API_KEY",
    "401 INVALID_AUTH_FORMAT",
    "401 INVALID_API_KEY_FORMAT",
    "401 INVALID_API_KEY",
    "401 EXPIRED_API_KEY",
    "403 ENVIRONMENT_MISMATCH",
    "403 INSUFFICIENT_PERMISSIONS",
)
_ERRORS_OF_ID = {"connection_id": "404 CONNECTION_NOT_FOUND", "key_id": "404 API_KEY_NOT_FOUND"}
_LIMIT_HEADERS = (
    ("X-RateLimit-Limit", "integer", "Requests that the window allows."),
    ("X-RateLimit-Remaining", "integer", "How many of them are left."),
    ("X-RateLimit-Reset", "integer", "When they are all there again, in Unix seconds."),
    ("X-RateLimit-Tier", "string", "The tier of the API key, or what is counted without one."),
    ("RateLimit-Policy", "string", "All windows, after the IETF draft."),
    ("RateLimit", "string", "The window that binds, after the IETF draft."),
    ("RateLimit-Degraded", "string", "Sent while this worker counts by itself, and why."),
)
_WITHOUT_LOOKUP = {"/health", "/health/live", "/health/ready", "/metrics", "/api/v1/management/health"}


@dataclass(frozen=True)
class Needs:
    """What an operation asks of its caller."""

    login: bool = False
    permission: str | None = None


def build_document(routers: Sequence[APIRouter]) -> JsonObject:
    """The whole document over these routers."""
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    document = get_openapi(
        title="Search API",
        version=__version__,
        description=DESCRIPTION,
        routes=routes,
        servers=[{"url": "/"}],
    )
    components = document.setdefault("components", {})
    components["securitySchemes"] = _SCHEMES
    schemas = components.setdefault("schemas", {})
    schemas.update(_documented_shapes())
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for schema in schemas.values():
        _leave_out_what_is_null(schema)
    for route, method, operation in _operations(document, routes):
        _describe(route, method, operation)
    return document


def _leave_out_what_is_null(schema: JsonObject) -> None:
    """Answers leave out what is null: such a property is not required."""
    nullable = {
        name
        for name, inner in schema.get("properties", {}).items()
        if {"type": "null"} in inner.get("anyOf", [])
    }
    if "required" in schema:
        schema["required"] = [name for name in schema["required"] if name not in nullable]


def needs_of(route: APIRoute) -> Needs:
    """What the route's dependencies ask for: a login, or a key with a permission."""
    login, permission = False, None
    for dependant in _all_dependants(route.dependant):
        call = dependant.call
        if call is None or not inspect.isfunction(call):
            continue
        returned = get_type_hints(call).get("return")
        login = login or returned is LoggedIn
        if returned is Admitted:
            permission = SEARCH_PERMISSION
        if returned is KeyHolder:
            permission = str(inspect.getclosurevars(call).nonlocals.get("permission", "search"))
    return Needs(login, permission)


def _all_dependants(dependant: Dependant) -> Iterator[Dependant]:
    for inner in dependant.dependencies:
        yield inner
        yield from _all_dependants(inner)


def _operations(
    document: JsonObject, routes: Sequence[APIRoute]
) -> Iterator[tuple[APIRoute, str, JsonObject]]:
    for route in routes:
        for method in sorted(route.methods or ()):
            operation = document["paths"].get(route.path, {}).get(method.lower())
            if operation is not None:
                yield route, method, operation


def _describe(route: APIRoute, method: str, operation: JsonObject) -> None:
    described = OPERATIONS.get(f"{method} {route.path}", Described())
    needs = needs_of(route)
    operation["operationId"] = f"{method.lower()}_{route.path.strip('/').replace('/', '_')}"
    if needs.login:
        operation["security"] = [{"login": []}]
    if needs.permission:
        operation["security"] = [{"apiKey": [needs.permission]}, {"apiKeyBearer": [needs.permission]}]
        operation["description"] = (
            f"{operation.get('description', '')}\n\nThe key needs the permission `{needs.permission}`."
        )
    _fill_in_answers(route, operation, described, needs)
    if described.request is not None:
        operation["requestBody"]["content"]["application/json"]["example"] = described.request
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            parameter["schema"]["minLength"] = 1
            parameter["example"] = "0198c0de-0000-7000-8000-000000000000"


def _fill_in_answers(route: APIRoute, operation: JsonObject, described: Described, needs: Needs) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    if described.answer is not None:
        name = Envelope[described.answer].__name__  # type: ignore[name-defined]
        schema = {"$ref": _REF.format(model=_key(name))}
        responses["200"]["content"] = {"application/json": {"schema": schema}}
    if route.path == "/metrics":
        responses["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    if route.path == "/health/ready":
        responses["503"] = responses["200"] | {"description": "Not ready; `failing` says why."}
    for status, codes in _errors(route, operation, described, needs).items():
        responses[status] = _error_answer(codes)
    _add_limit_headers(responses, counted=described.limited or needs.permission is not None)


def _add_limit_headers(responses: JsonObject, *, counted: bool) -> None:
    """Every answer to a counted request says where its caller stands; a refusal also when to come back."""
    headers = {name: {"description": text, "schema": {"type": kind}} for name, kind, text in _LIMIT_HEADERS}
    for status, answer in responses.items():
        if status == "429":
            seconds = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
            answer["headers"] = headers | {"Retry-After": seconds}
        elif counted and status.startswith("2"):
            answer["headers"] = headers


def _errors(
    route: APIRoute, operation: JsonObject, described: Described, needs: Needs
) -> dict[str, list[str]]:
    named = list(described.errors)
    inputs = operation.get("parameters", [])
    if "requestBody" in operation:
        named += ["400 VALIDATION_ERROR", "400 INVALID_JSON", "413 PAYLOAD_TOO_LARGE"]
    if any(parameter["in"] == "query" for parameter in inputs):
        named.append("400 VALIDATION_ERROR")
    for parameter in inputs:
        if parameter["in"] == "path":
            # An id with a slash in it is another path, which does not exist.
            named += [_ERRORS_OF_ID.get(parameter["name"], "404 NOT_FOUND"), "404 NOT_FOUND"]
    if needs.login:
        named += _LOGIN_ERRORS
    if needs.permission:
        named += _KEY_ERRORS
    if needs.login or needs.permission or "requestBody" in operation:
        named.append("429 RATE_LIMIT_EXCEEDED")
    if route.path not in _WITHOUT_LOOKUP:
        named.append("503 CONNECTION_ERROR")
    named.append("500 INTERNAL_ERROR")
    found: dict[str, list[str]] = {}
    for text in named:
        status, code = text.split(" ", 1)
        found.setdefault(status, [])
        if code not in found[status]:
            found[status].append(code)
    return dict(sorted(found.items()))


def _error_answer(codes: Sequence[str]) -> JsonObject:
    examples = {code: {"value": _error_example(code)} for code in codes}
    content = {"schema": {"$ref": _REF.format(model="ErrorEnvelope")}, "examples": examples}
    return {"description": ", ".join(codes), "content": {"application/json": content}}


def _error_example(code: str) -> JsonObject:
    meta = {
        "timestamp": "2026-01-31T12:00:00.000Z",
        "requestId": "2f6c0de4-5d0f-4a3b-9d52-0c7f3d0b8a11",
        "version": __version__,
    }
    error: JsonObject = {"code": code, "message": MEANINGS[code]}
    if code == "RATE_LIMIT_EXCEEDED":
        error["details"] = {"retryAfter": 7, "limit": 50, "remaining": 0, "tier": "free"}
    if code == "VALIDATION_ERROR":
        error["details"] = [{"field": "name", "message": "Field required", "code": "missing"}]
    return {"success": False, "error": error, "meta": meta}


def _documented_shapes() -> JsonObject:
    """Schemas that no route's own model brings in."""
    models: list[Any] = [ErrorEnvelope]
    models += [
        Envelope[described.answer]  # type: ignore[name-defined]
        for described in OPERATIONS.values()
        if described.answer is not None
    ]
    _, whole = models_json_schema([(model, "serialization") for model in models], ref_template=_REF)
    return {name: schema for name, schema in whole["$defs"].items() if name != "Meta"}


def _key(name: str) -> str:
    """The name of a generic model as pydantic writes it into a schema."""
    return name.replace("[", "_").replace("]", "_")
