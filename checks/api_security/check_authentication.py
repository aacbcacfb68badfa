"""Is everybody kept out who should be: strangers, forgers, people who left, and other tenants?"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from checks.database.check_schema import app_machines
from checks.functional.check_users import checksum_of
from checks.gate import EdgeSession, Evidence, item
from checks.gate.fleet import Fleet
from checks.probes import slots
from checks.probes.accounts import Tenants, new_password
from checks.probes.api import PREFIX, Answer, call, expect_error, expect_success
from inventories.schema import Inventory
from inventories.secrets import read_secret

UNKNOWN_KEY_BODY = "lg_sk_live_" + "0" * 40
# Routes that the published contract opens to everybody.
PUBLIC = {
    "GET /health",
    "GET /health/live",
    "GET /health/ready",
    f"GET {PREFIX}/status",
    f"GET {PREFIX}/management/health",
    f"GET {PREFIX}/openapi.json",
    f"GET {PREFIX}/docs",
    f"GET {PREFIX}/docs/{{name}}",
    f"POST {PREFIX}/auth/register",
    f"POST {PREFIX}/auth/login",
}
# Routes that the edge does not let through at all.
NOT_AT_THE_EDGE = {"GET /metrics", "GET /health/detailed"}
FEWEST_OPERATIONS = 15
AT_ONCE = 3
NOBODY = ("NO_TOKEN", "NO_API_KEY")
NOT_THEM = ("INVALID_TOKEN", "INVALID_API_KEY", "INVALID_API_KEY_FORMAT")


@item("HARD-APP-1", on=None, timeout_s=60)
def check_every_operation_asks_who_is_there(
    evidence: Evidence, edge: EdgeSession, fleet: Fleet, tenants: Tenants
) -> None:
    """Every operation that the running release answers refuses callers without, and with a wrong, credential."""
    operations = set(slots.in_active_slot(app_machines(fleet)[0], "operations")["operations"])
    evidence.that(
        len(operations) >= FEWEST_OPERATIONS,
        looked_at="operations of the running release",
        observed=len(operations),
        expected=f"at least {FEWEST_OPERATIONS}",
    )
    tenant = tenants.one(evidence)
    key = str(tenant.key(evidence)["secretKey"])
    tried = (
        (None, NOBODY, "without credential"),
        ("nonsense", NOT_THEM, "with nonsense"),
        (unknown_key(), NOT_THEM, "with a well-formed key that nobody made"),
    )

    def ask(operation: str) -> list[Answer]:
        method, path = operation.split(" ", 1)
        path = re.sub(r"\{[^}]+\}", str(uuid.uuid4()), path)
        body: Any = {} if method in ("POST", "PUT", "PATCH") else None
        # What ends a login is not tried with one: the other checks still need it.
        kinds = (key,) if path.startswith(f"{PREFIX}/auth/") else (key, tenant.token)
        credentials = [*(credential for credential, _, _ in tried), *kinds]
        return [call(edge, method, path, credential=one, body=body) for one in credentials]

    closed = sorted(operations - PUBLIC - NOT_AT_THE_EDGE)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = dict(zip(closed, pool.map(ask, closed), strict=True))
    for operation, seen in answers.items():
        for answer, (_, codes, why) in zip(seen, tried, strict=False):
            expect_error(evidence, answer, 401, *codes, why=f"({operation}) {why}")
        # A key opens no user's page, and a login no program's.
        statuses = [answer.status for answer in seen[len(tried) :]]
        evidence.that(
            401 in statuses,
            looked_at=f"{operation} with a key, with a login",
            observed=statuses,
            expected="one of them is 401",
        )
    for operation in sorted(operations & NOT_AT_THE_EDGE):
        answer = call(edge, *operation.split(" ", 1))
        evidence.expect(looked_at=f"{operation} at the edge", observed=answer.status, expected=404)


@item("POST-SEC-1", on=None)
def check_forged_and_dead_credentials_are_refused(
    evidence: Evidence, edge: EdgeSession, inventory: Inventory, tenants: Tenants
) -> None:
    """Missing, malformed, forged, expired and logged-out tokens, and wrong keys: each gets its own 401."""
    tenant = tenants.other(evidence)
    secret = read_secret(inventory, "jwt_secret")
    claims = claims_of(tenant.token)
    expired = {**claims, "iat": 1_600_000_000, "exp": 1_600_003_600}
    somebody = {**claims, "sub": str(uuid.uuid4())}
    head, _, tail = tenant.token.partition(".")
    forged = f"{head}.{_encoded(somebody)}.{tail.partition('.')[2]}"
    for credential, code, why in (
        (None, "NO_TOKEN", "without a token"),
        ("no.such.token", "INVALID_TOKEN", "with nonsense"),
        (signed(claims, "not the secret"), "INVALID_TOKEN", "signed by somebody else"),
        (
            f"{_encoded({'alg': 'none', 'typ': 'JWT'})}.{_encoded(claims)}.",
            "INVALID_TOKEN",
            "not signed at all",
        ),
        (forged, "INVALID_TOKEN", "for somebody else under the old signature"),
        (signed(expired, secret), "TOKEN_EXPIRED", "expired"),
        (signed({**claims, "ver": 99}, secret), "INVALID_TOKEN", "of another token version"),
    ):
        expect_error(evidence, call(edge, "GET", "auth/profile", credential=credential), 401, code, why=why)
    odd = call(edge, "GET", "auth/profile", headers={"Authorization": "Basic dXNlcjpwYXNz"})
    expect_error(evidence, odd, 401, "INVALID_AUTH_FORMAT", why="with another scheme")
    question = {"query": "anything"}
    for key, code, why in (
        (None, "NO_API_KEY", "without a key"),
        ("lg_sk_live_short", "INVALID_API_KEY_FORMAT", "with a malformed key"),
        (UNKNOWN_KEY_BODY + "000000", "INVALID_API_KEY_FORMAT", "with a wrong checksum"),
        (unknown_key(), "INVALID_API_KEY", "with a key that nobody made"),
    ):
        expect_error(
            evidence, call(edge, "POST", "search", credential=key, body=question), 401, code, why=why
        )
    login = {"email": tenant.email, "password": tenant.password}
    wrong = call(edge, "POST", "auth/login", body={**login, "password": new_password()})
    expect_error(evidence, wrong, 401, "AUTHENTICATION_FAILED", why="with a wrong password")
    token = str(expect_success(evidence, call(edge, "POST", "auth/login", body=login))["token"])
    expect_success(evidence, call(edge, "POST", "auth/logout", credential=token))
    for _ in range(2):
        after = call(edge, "GET", "auth/profile", credential=token)
        expect_error(evidence, after, 401, "INVALID_TOKEN", why="after logout")


@item("POST-SEC-1", on=None)
def check_other_tenants_are_as_if_they_were_not(
    evidence: Evidence, edge: EdgeSession, tenants: Tenants
) -> None:
    """Another's connection or key answers exactly as one that does not exist."""
    one, other = tenants.one(evidence), tenants.other(evidence)
    connection, key = one.database(evidence)["id"], one.key(evidence)["apiKey"]["id"]
    others_key = {"name": "other's", "environment": "test"}
    stranger = expect_success(
        evidence, call(edge, "POST", "keys", credential=other.token, body=others_key), 201
    )
    for method, path, owned, code in (
        ("GET", "databases/{}", connection, "CONNECTION_NOT_FOUND"),
        ("GET", "databases/{}/schema", connection, "CONNECTION_NOT_FOUND"),
        ("POST", "databases/{}/test", connection, "CONNECTION_NOT_FOUND"),
        ("DELETE", "databases/{}", connection, "CONNECTION_NOT_FOUND"),
        ("GET", "keys/{}", key, "API_KEY_NOT_FOUND"),
        ("GET", "keys/{}/usage", key, "API_KEY_NOT_FOUND"),
        ("DELETE", "keys/{}", key, "API_KEY_NOT_FOUND"),
    ):
        asked = [
            call(edge, method, path.format(id_), credential=other.token) for id_ in (owned, str(uuid.uuid4()))
        ]
        for answer, why in zip(asked, ("of another tenant", "that does not exist"), strict=True):
            expect_error(evidence, answer, 404, code, why=why)
        evidence.expect(
            looked_at=f"{method} {path}: difference between another's and none",
            observed=asked[0].body["error"],
            expected=asked[1].body["error"],
        )
    question = {"query": "library", "databases": [connection]}
    searched = call(edge, "POST", "search", credential=stranger["secretKey"], body=question)
    expect_error(evidence, searched, 404, "CONNECTION_NOT_FOUND", why="in another tenant's database")


def unknown_key() -> str:
    """A key of the right form that was never made."""
    return UNKNOWN_KEY_BODY + checksum_of(UNKNOWN_KEY_BODY)


def claims_of(token: str) -> dict[str, Any]:
    """The claims inside a token."""
    part = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def signed(claims: dict[str, Any], secret: str) -> str:
    """A token with these claims, signed with HS256."""
    text = f"{_encoded({'alg': 'HS256', 'typ': 'JWT'})}.{_encoded(claims)}"
    mark = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(mark).rstrip(b'=').decode()}"


def _encoded(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
