"""Are answers small on the wire?"""

from __future__ import annotations

import gzip
import json

import requests

from checks.gate import EdgeSession, Evidence, item
from checks.probes.accounts import Tenants

SMALLEST_RATIO = 2.5  # JSON of descriptions: three to one with any sensible level
LARGE_BYTES = 4096
RESULTS = 30


@item("PERF-APP-4", on=None)
def check_large_answers_are_compressed(evidence: Evidence, edge: EdgeSession, tenants: Tenants) -> None:
    """A large JSON answer comes compressed to whoever can read that, plain to others, and caches are told."""
    tenant = tenants.one(evidence)
    key, connection = str(tenant.key(evidence)["secretKey"]), tenant.database(evidence)["id"]
    question = {"query": "library", "databases": [connection], "limit": RESULTS}
    status, plain, headers = _wire(edge, key, question, "identity")
    evidence.expect(
        looked_at="a large search, uncompressed: status, type, encoding",
        observed=(status, headers.get("Content-Type", "").partition(";")[0], headers.get("Content-Encoding")),
        expected=(200, "application/json", None),
    )
    evidence.that(
        len(plain) >= LARGE_BYTES,
        looked_at="its bytes",
        observed=len(plain),
        expected=f"at least {LARGE_BYTES}",
    )
    status, packed, headers = _wire(edge, key, question, "gzip, deflate")
    evidence.expect(
        looked_at="the same for a client that reads gzip: status, encoding",
        observed=(status, headers.get("Content-Encoding")),
        expected=(200, "gzip"),
    )
    evidence.that(
        "accept-encoding" in headers.get("Vary", "").lower(),
        looked_at="Vary",
        observed=headers.get("Vary", "none"),
        expected="Accept-Encoding, so that caches keep both apart",
    )
    results = json.loads(gzip.decompress(packed))["data"]["results"]
    evidence.expect(
        looked_at="results in both answers", observed=results, expected=json.loads(plain)["data"]["results"]
    )
    evidence.that(
        len(plain) / len(packed) >= SMALLEST_RATIO,
        looked_at="bytes on the wire",
        observed=f"{len(plain)} plain, {len(packed)} compressed",
        expected=f"at least {SMALLEST_RATIO} to one",
    )


def _wire(
    edge: EdgeSession, key: str, question: object, accepted: str
) -> tuple[int, bytes, requests.structures.CaseInsensitiveDict[str]]:
    """Status, body as it came over the wire, headers."""
    headers = {"Authorization": f"Bearer {key}", "Accept-Encoding": accepted}
    with edge.post("/api/v1/search", json=question, headers=headers, stream=True) as answer:
        return answer.status_code, answer.raw.read(decode_content=False), answer.headers
