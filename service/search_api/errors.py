"""The errors that the API answers with."""

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """An answer that is an error: HTTP status, a code of the published contract, a message for people.

    Messages and details reach the caller: they never hold secrets or another tenant's data.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: list[dict[str, str]] | dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.headers = dict(headers or {})


def invalid(field: str, message: str, code: str = "invalid") -> ApiError:
    """400 VALIDATION_ERROR for one field."""
    return ApiError(
        400,
        "VALIDATION_ERROR",
        "The request is not valid.",
        details=[{"field": field, "message": message, "code": code}],
    )


def unauthorised(code: str, message: str) -> ApiError:
    """401 with the given code."""
    return ApiError(401, code, message, headers={"WWW-Authenticate": "Bearer"})


def connection_not_found() -> ApiError:
    """The same 404 for an id that does not exist and for an id of another tenant."""
    return ApiError(404, "CONNECTION_NOT_FOUND", "There is no such database connection.")


def api_key_not_found() -> ApiError:
    """The same 404 for an id that does not exist and for an id of another tenant."""
    return ApiError(404, "API_KEY_NOT_FOUND", "There is no such API key.")
