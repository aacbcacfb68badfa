"""Headers that protect browsers are on every answer: where NGINX would add them, and on what really arrives."""

from __future__ import annotations

import requests

from checks.gate import EdgeSession, Evidence, MachineUnderCheck, item
from checks.probes import nginx
from checks.probes.security_headers import faults
from inventories.schema import Inventory

TOO_LARGE = 1_100_000  # bytes, above any request that the service takes
# Who runs what version is nobody's business.
TELLTALE = ("x-powered-by", "x-runtime", "x-aspnet-version")


@item("PRE-SEC-7", on="lb")
def check_every_location_adds_the_headers(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    configuration = nginx.configuration(machine)
    servers = configuration.servers(443, inventory.settings.domain)
    evidence.that(
        bool(servers),
        looked_at=f"servers for {inventory.settings.domain}:443",
        observed=len(servers),
        expected="one",
    )
    for server in servers:
        for place in configuration.locations(server):
            added: dict[str, list[str]] = {}
            for one in place.inherited("add_header"):
                # Without "always" the header is missing on errors.
                if one.args[-1] == "always" and len(one.args) == 3:
                    added.setdefault(one.args[0].lower(), []).append(one.args[1])
            evidence.expect(
                looked_at=f"add_header ... always in force in {place}",
                observed=faults(added, inventory.settings.thresholds.hsts_minimum_s),
                expected=[],
            )


@item("POST-SEC-4", on="lb")
def check_headers_arrive_with_every_kind_of_answer(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory, edge: EdgeSession
) -> None:
    least = inventory.settings.thresholds.hsts_minimum_s
    for asked, answer in _answers(edge):
        sent = _all_values(answer)
        evidence.expect(
            looked_at=f"headers of {asked} ({answer.status_code}) from {machine.name}",
            observed=faults(sent, least),
            expected=[],
        )
        told = [f"{name}: {sent[name]}" for name in TELLTALE if name in sent]
        told += [one for one in sent.get("server", []) if any(letter.isdigit() for letter in one)]
        evidence.expect(looked_at=f"versions told by {asked}", observed=told, expected=[])


def _answers(edge: EdgeSession) -> list[tuple[str, requests.Response]]:
    """One answer of each kind: made by the service or by the edge, good or refused."""
    malformed = {"Content-Type": "application/json"}
    return [
        ("GET /health/live", edge.get("/health/live")),
        ("GET /api/v1/databases without credentials", edge.get("/api/v1/databases")),
        ("GET an unknown path", edge.get("/no/such/path")),
        ("GET /metrics, closed at the edge", edge.get("/metrics")),
        ("DELETE /health/live", edge.delete("/health/live")),
        ("POST of malformed JSON", edge.post("/api/v1/auth/login", data="{", headers=malformed)),
        ("POST of too much", edge.post("/api/v1/auth/login", data=b"x" * TOO_LARGE, headers=malformed)),
        ("GET of a malformed URL", edge.get("/%00")),
    ]


def _all_values(answer: requests.Response) -> dict[str, list[str]]:
    """Every value of every header; requests itself joins repeated ones."""
    raw = answer.raw.headers
    return {name.lower(): list(raw.getlist(name)) for name in raw}
