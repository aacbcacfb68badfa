"""From which web pages may browsers call the service?"""

from __future__ import annotations

from urllib.parse import urlsplit

from checks.gate import EdgeSession, Evidence, item
from checks.probes.api import Answer, call
from inventories.schema import Inventory

ALLOW_ORIGIN = "access-control-allow-origin"
METHODS = {"GET", "POST", "PUT", "DELETE"}
OK = 200


@item("PRE-SEC-6", on=None)
def check_only_declared_origins_are_allowed(
    evidence: Evidence, edge: EdgeSession, inventory: Inventory
) -> None:
    """A declared origin is answered by its own name; every other, however similar, gets no permission."""
    declared = inventory.settings.cors_origins
    for origin in declared:
        answer = _preflight(edge, origin)
        allowed = {name.strip() for name in answer.headers.get("access-control-allow-methods", "").split(",")}
        evidence.expect(
            looked_at=f"preflight of POST /api/v1/search from {origin}",
            observed=(answer.status, answer.headers.get(ALLOW_ORIGIN), sorted(METHODS - allowed)),
            expected=(OK, origin, []),
        )
        evidence.that(
            "authorization" in answer.headers.get("access-control-allow-headers", "").lower(),
            looked_at="headers that this origin may send",
            observed=answer.headers.get("access-control-allow-headers", "none"),
            expected="Authorization among them",
        )
    for origin in foreign(declared):
        for answer in (_preflight(edge, origin), call(edge, "GET", "/health", headers={"Origin": origin})):
            evidence.expect(
                looked_at=f"{answer.asked} from {origin}: {ALLOW_ORIGIN}",
                observed=answer.headers.get(ALLOW_ORIGIN),
                expected=None,
            )


def foreign(declared: tuple[str, ...]) -> list[str]:
    """Origins that nobody declared, among them those that careless comparisons let through."""
    found = ["https://evil.example", "null", "http://localhost:3000"]
    for origin in declared:
        parts = urlsplit(origin)
        found += [
            f"{origin}.evil.example",
            f"{parts.scheme}://evil-{parts.netloc}",
            f"{parts.scheme}://sub.{parts.netloc}",
            f"http://{parts.netloc}" if parts.scheme == "https" else f"https://{parts.netloc}",
        ]
    return [origin for origin in found if origin not in declared]


def _preflight(edge: EdgeSession, origin: str) -> Answer:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return call(edge, "OPTIONS", "search", headers=headers)
