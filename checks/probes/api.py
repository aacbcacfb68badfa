"""The service's API as its users see it: one call, its answer, and whether the answer keeps the contract."""

from __future__ import annotations

import datetime as dt
import json
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from checks.gate import EdgeSession, Evidence

PREFIX = "/api/v1"
_LONGEST_BODY = 300
_SECRET = re.compile(r"lg_sk_(?:test|live)_[0-9A-Za-z]+|eyJ[\w-]+\.[\w-]+\.[\w-]*")


@dataclass(frozen=True)
class Answer:
    """One answer of the API. `body` is None when it is no JSON; `seconds` from the request to the last byte."""

    asked: str
    request_id: str
    status: int
    body: Any
    text: str
    seconds: float
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Any:
        """`data` of the envelope, None when there is none."""
        return self.body.get("data") if isinstance(self.body, dict) else None

    @property
    def code(self) -> str:
        """The error's code, empty when the answer is no error."""
        error = self.body.get("error") if isinstance(self.body, dict) else None
        return str(error.get("code", "")) if isinstance(error, dict) else ""

    @property
    def shown(self) -> str:
        """Status and the beginning of the body, without keys and tokens: reports are read by many."""
        text = _SECRET.sub("[removed]", self.text)
        return f"{self.status} {text[:_LONGEST_BODY]}"


def call(
    edge: EdgeSession,
    method: str,
    path: str,
    *,
    credential: str | None = None,
    body: Any = None,
    params: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Ask the API once. `path` is below /api/v1 unless it begins with "/"; `credential` goes as a bearer.

    Raises EdgeDown when there is no answer, CouldNotLook when the edge's machine is down.
    """
    url = path if path.startswith("/") else f"{PREFIX}/{path}"
    request_id = str(uuid.uuid4())
    sent = {"X-Request-Id": request_id, **(headers or {})}
    if credential is not None:
        sent["Authorization"] = f"Bearer {credential}"
    began = time.monotonic()
    got = edge.request(method, url, json=body, params=params, headers=sent, allow_redirects=False)
    seconds = time.monotonic() - began
    seen = {name.lower(): value for name, value in got.headers.items()}
    return Answer(f"{method} {url}", request_id, got.status_code, _parsed(got.text), got.text, seconds, seen)


def expect_success(evidence: Evidence, answer: Answer, status: int = 200) -> Any:
    """Record that the answer is a success of this status in the exact envelope, and return its `data`."""
    fault = f"status {answer.status}" if answer.status != status else success_fault(answer)
    evidence.that(
        not fault,
        looked_at=answer.asked,
        observed=f"{fault}: {answer.shown}" if fault else str(answer.status),
        expected=f"{status} and {{success:true, data, meta}}",
    )
    return answer.data


def expect_error(evidence: Evidence, answer: Answer, status: int, *codes: str, why: str = "") -> None:
    """Record that the answer is an error of this status with one of these codes, in the exact envelope."""
    fault = f"status {answer.status}" if answer.status != status else error_fault(answer)
    if not fault and answer.code not in codes:
        fault = f"code {answer.code}"
    evidence.that(
        not fault,
        looked_at=f"{answer.asked} {why}".strip(),
        observed=f"{fault}: {answer.shown}" if fault else f"{answer.status} {answer.code}",
        expected=f"{status} {' or '.join(codes)} in the error envelope",
    )


def success_fault(answer: Answer) -> str:
    """What of `{success:true, data, meta}` is not so; empty when all is."""
    body = answer.body
    if not isinstance(body, dict):
        return "no JSON object"
    if body.get("success") is not True:
        return "success is not true"
    if "data" not in body:
        return "there is no data"
    if "error" in body:
        return "there is an error beside the data"
    return _meta_fault(body.get("meta"), answer)


def error_fault(answer: Answer) -> str:
    """What of `{success:false, error:{code, message}, meta}` is not so; empty when all is."""
    body = answer.body
    if not isinstance(body, dict):
        return "no JSON object"
    if body.get("success") is not False:
        return "success is not false"
    error = body.get("error")
    if not isinstance(error, dict):
        return "error is no object"
    for name in ("code", "message"):
        if not isinstance(error.get(name), str) or not error[name]:
            return f"error.{name} is missing"
    if "data" in body:
        return "there is data beside the error"
    return _meta_fault(body.get("meta"), answer)


def shape_fault(value: Any, fields: str) -> str:
    """The first of these fields (names apart by blanks; "?" after a name: optional) that the object lacks."""
    if not isinstance(value, dict):
        return f"is {type(value).__name__}, not an object"
    missing = [name for name in fields.split() if not name.endswith("?") and name not in value]
    return f"lacks {', '.join(missing)}" if missing else ""


def expect_shape(evidence: Evidence, looked_at: str, value: Any, fields: str) -> None:
    """Record that an object has all of these fields."""
    fault = shape_fault(value, fields)
    seen = fault or ", ".join(sorted(value))
    evidence.that(not fault, looked_at=looked_at, observed=seen, expected=f"fields {fields}")


def _meta_fault(meta: Any, answer: Answer) -> str:
    if not isinstance(meta, dict):
        return "meta is no object"
    if meta.get("requestId") != answer.request_id:
        return "meta.requestId is not the request's X-Request-Id"
    if answer.headers.get("x-request-id") != answer.request_id:
        return "the header X-Request-Id is not the request's"
    if not isinstance(meta.get("version"), str) or not meta["version"]:
        return "meta.version is missing"
    return "" if is_utc_time(meta.get("timestamp")) else "meta.timestamp is no RFC 3339 time in UTC"


def is_utc_time(value: Any) -> bool:
    """Whether a value is an RFC 3339 time in UTC."""
    if not isinstance(value, str) or not value.endswith(("Z", "+00:00")):
        return False
    try:
        moment = dt.datetime.fromisoformat(value)
    except ValueError:
        return False
    return moment.utcoffset() == dt.timedelta(0)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
