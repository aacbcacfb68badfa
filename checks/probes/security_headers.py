"""What the headers that protect browsers must say, as a server sends them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

HSTS = "strict-transport-security"


def _one_of(*accepted: str) -> Callable[[str], bool]:
    return lambda value: value.strip().lower() in accepted


def _strict_policy(value: str) -> bool:
    """A default that lets nothing or only ourselves in, nothing inline or evaluated, and no foreign frames."""
    policy = {
        words[0].lower(): {word.lower() for word in words[1:]}
        for words in (part.split() for part in value.split(";"))
        if words
    }
    allowed = {"'none'", "'self'"}
    unsafe = {"'unsafe-inline'", "'unsafe-eval'", "*", "http:", "data:"}
    return (
        bool(policy.get("default-src"))
        and policy["default-src"] <= allowed
        and bool(policy.get("frame-ancestors"))
        and policy["frame-ancestors"] <= allowed
        and not any(unsafe & sources for sources in policy.values())
    )


def _switches_off(value: str) -> bool:
    switched = {part.strip().partition("=")[0] for part in value.split(",") if part.strip().endswith("=()")}
    return {"camera", "geolocation", "microphone"} <= switched


# Header to what it must say, in words and as a rule.
REQUIRED: Mapping[str, tuple[str, Callable[[str], bool]]] = {
    "x-content-type-options": ("nosniff", _one_of("nosniff")),
    "x-frame-options": ("DENY or SAMEORIGIN", _one_of("deny", "sameorigin")),
    "referrer-policy": (
        "no-referrer or stricter than the browsers' default",
        _one_of("no-referrer", "same-origin", "strict-origin", "strict-origin-when-cross-origin"),
    ),
    "content-security-policy": (
        "default-src and frame-ancestors of 'none' or 'self', nothing unsafe",
        _strict_policy,
    ),
    "permissions-policy": ("camera, geolocation and microphone switched off", _switches_off),
}


def faults(headers: Mapping[str, list[str]], hsts_minimum_s: int) -> list[str]:
    """What is wrong with an answer's headers: lower-case names to every value that was sent."""
    found = []
    for name, (wanted, holds) in REQUIRED.items():
        sent = headers.get(name, [])
        if len(sent) != 1:
            found.append(f"{name} sent {len(sent)} times{f': {sent}' if sent else ''}")
        elif not holds(sent[0]):
            found.append(f"{name}: {sent[0]!r} is not {wanted}")
    sent = headers.get(HSTS, [])
    if len(sent) != 1:
        found.append(f"{HSTS} sent {len(sent)} times")
    elif fault := hsts_fault(sent[0], hsts_minimum_s):
        found.append(f"{HSTS}: {fault}")
    return found


def hsts_fault(value: str, minimum_s: int) -> str:
    """Why a Strict-Transport-Security value does not do, empty when it does."""
    match = re.search(r"(?:^|;)\s*max-age\s*=\s*\"?(\d+)\"?", value, re.IGNORECASE)
    if match is None:
        return f"{value!r} has no max-age" if value else "not sent"
    return "" if int(match[1]) >= minimum_s else f"max-age={match[1]} is less than {minimum_s} s"
