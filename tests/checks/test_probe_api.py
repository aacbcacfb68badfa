"""What counts as an answer in the service's envelope, and what a report shows of one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from checks.gate import Evidence
from checks.probes.api import (
    Answer,
    error_fault,
    expect_error,
    expect_success,
    is_utc_time,
    shape_fault,
    success_fault,
)

META = {"timestamp": "2026-01-02T03:04:05.678Z", "requestId": "abc-12345", "version": "1.0.0"}


def answer(body: Any, status: int = 200, request_id: str = "abc-12345") -> Answer:
    text = body if isinstance(body, str) else json.dumps(body)
    parsed = None if isinstance(body, str) else body
    return Answer("GET /x", "abc-12345", status, parsed, text, 0.1, {"x-request-id": request_id})


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"success": True, "data": {}, "meta": META}, ""),
        ("<html>", "no JSON object"),
        ({"data": {}, "meta": META}, "success is not true"),
        ({"success": True, "meta": META}, "no data"),
        ({"success": True, "data": {}, "error": {}, "meta": META}, "error beside"),
        ({"success": True, "data": {}}, "meta is no object"),
        ({"success": True, "data": {}, "meta": {**META, "requestId": "other"}}, "requestId"),
        ({"success": True, "data": {}, "meta": {**META, "timestamp": "yesterday"}}, "RFC 3339"),
        ({"success": True, "data": {}, "meta": {**META, "version": ""}}, "version"),
    ],
)
def test_a_success_is_the_exact_envelope(body: Any, fault: str) -> None:
    found = success_fault(answer(body))
    assert fault in found
    assert bool(fault) == bool(found)


def test_the_request_id_must_come_back_in_the_header_too() -> None:
    body = {"success": True, "data": {}, "meta": META}
    assert "X-Request-Id" in success_fault(answer(body, request_id="another-one"))


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"success": False, "error": {"code": "NO_TOKEN", "message": "m"}, "meta": META}, ""),
        (
            {"success": True, "error": {"code": "NO_TOKEN", "message": "m"}, "meta": META},
            "success is not false",
        ),
        ({"success": False, "error": "NO_TOKEN", "meta": META}, "no object"),
        ({"success": False, "error": {"code": "NO_TOKEN"}, "meta": META}, "error.message"),
        ({"success": False, "error": {"code": "C", "message": "m"}, "data": 1, "meta": META}, "data beside"),
    ],
)
def test_an_error_is_the_exact_envelope(body: Any, fault: str) -> None:
    found = error_fault(answer(body))
    assert fault in found
    assert bool(fault) == bool(found)


def test_the_right_status_with_another_code_is_a_failure() -> None:
    body = {"success": False, "error": {"code": "INVALID_TOKEN", "message": "m"}, "meta": META}
    with pytest.raises(AssertionError, match="INVALID_TOKEN"):
        expect_error(Evidence("control"), answer(body, 401), 401, "NO_TOKEN")
    expect_error(Evidence("control"), answer(body, 401), 401, "NO_TOKEN", "INVALID_TOKEN")


def test_a_success_of_another_status_is_a_failure() -> None:
    body = {"success": True, "data": {"a": 1}, "meta": META}
    assert expect_success(Evidence("control"), answer(body)) == {"a": 1}
    with pytest.raises(AssertionError, match="status 200"):
        expect_success(Evidence("control"), answer(body), 201)


def test_a_report_shows_neither_keys_nor_tokens() -> None:
    key, token = "lg_sk_live_" + "a" * 46, "eyJhbGciOiJub25l.eyJzdWIiOiIx.c2ln"
    shown = answer({"secretKey": key, "token": token}).shown
    assert key not in shown
    assert token not in shown


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("2026-01-02T03:04:05Z", True),
        ("2026-01-02T03:04:05.123+00:00", True),
        ("2026-01-02T03:04:05", False),
        ("2026-01-02T03:04:05+02:00", False),
        ("Z", False),
        (1700000000, False),
    ],
)
def test_times_are_rfc_3339_in_utc(text: Any, good: bool) -> None:
    assert is_utc_time(text) is good


def test_a_shape_names_what_is_missing() -> None:
    assert shape_fault({"id": 1}, "id name? port") == "lacks port"
    assert shape_fault({"id": 1}, "id name?") == ""
    assert "not an object" in shape_fault([], "id")
