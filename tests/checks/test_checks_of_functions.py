"""Health, keys, tokens, origins and load: what the checks of the running service take for right and wrong."""

from __future__ import annotations

from typing import Any

import pytest

from checks.api_security.check_authentication import claims_of, signed, unknown_key
from checks.api_security.check_origins import foreign
from checks.functional.check_health import health_fault
from checks.functional.check_users import checksum_of, key_fault
from checks.gate import CouldNotLook
from checks.performance.check_load import counted_requests, sound

HEALTHY: dict[str, Any] = {
    "status": "ready", "timestamp": "2026-01-02T03:04:05Z", "version": "1.0.0", "uptime": 3.5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, ""),
        ({"status": "degraded"}, "says degraded"),
        ({"version": "0.9.0"}, "is version 0.9.0"),
        ({"timestamp": "now"}, "timestamp"),
        ({"uptime": "long"}, "uptime"),
    ],
)
def test_health_is_judged_field_by_field(change: dict[str, Any], fault: str) -> None:
    found = health_fault({**HEALTHY, **change}, "ready", "1.0.0")
    assert fault in found
    assert bool(fault) == bool(found)


def test_a_canned_health_answer_lacks_fields() -> None:
    assert "lacks" in health_fault({"status": "ok"}, "ready", "1.0.0")


def test_the_form_of_a_key_is_judged_to_the_last_character() -> None:
    body = "lg_sk_live_" + "Ab3" * 13 + "Z"
    good = body + checksum_of(body)
    assert key_fault(good, "live") == ""
    assert "begin" in key_fault(good, "test")
    assert "checksum" in key_fault(good[:-1] + ("0" if good[-1] != "0" else "1"), "live")
    short = "lg_sk_live_" + "A" * 20
    assert "32 random" in key_fault(short + checksum_of(short), "live")
    assert key_fault(unknown_key(), "live") == ""


def test_a_forged_token_carries_its_claims() -> None:
    assert claims_of(signed({"sub": "somebody", "ver": 1}, "secret")) == {"sub": "somebody", "ver": 1}


def test_foreign_origins_are_those_that_careless_comparisons_let_through() -> None:
    found = foreign(("https://console.example.com",))
    assert {"https://console.example.com.evil.example", "https://evil-console.example.com", "null"} <= set(
        found
    )
    assert "http://console.example.com" in found
    assert "https://console.example.com" not in found


METRICS = """# TYPE http_requests_total counter
http_requests_total{method="POST",route="/api/v1/search",status="200"} 120.0
http_requests_total{method="POST",route="/api/v1/search",status="401"} 3.0
http_requests_total{method="GET",route="/api/v1/search-trends",status="200"} 9.0
http_requests_total{method="GET",route="/health",status="200"} 1e+06
"""


def test_requests_of_one_route_are_counted_whatever_their_status() -> None:
    assert counted_requests(METRICS, "/api/v1/search") == 123.0
    assert counted_requests("", "/api/v1/search") == 0


LOAD: dict[str, Any] = dict.fromkeys(
    ("model", "target", "duration_s", "offered", "achieved", "endpoints", "objectives", "missed", "outcome"),
    1,
)


@pytest.mark.parametrize(
    "change", [{"voided": ["late"]}, {"outcome": "void"}, {"endpoints": None, "drop": "endpoints"}]
)
def test_a_void_or_unknown_load_is_no_look(change: dict[str, Any]) -> None:
    load = {**LOAD, **change}
    if "drop" in load:
        del load[load["drop"]]
    with pytest.raises(CouldNotLook):
        sound(load)
    assert sound(dict(LOAD)) == LOAD
