"""Do people get in: registration, login, profile; and do their programs: keys made, used, revoked?"""

from __future__ import annotations

import zlib

from checks.gate import EdgeSession, Evidence, item
from checks.probes.accounts import Tenants, new_email, new_password
from checks.probes.api import call, expect_error, expect_shape, expect_success

USER = "id email name role connectedDatabases createdAt lastActive"
API_KEY = "id name keyPrefix environment permissions rateLimitTier usageCount isActive createdAt updatedAt"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CHECKSUM_LENGTH = 6
SHORTEST_RANDOM = 32


@item("POST-FUNC-2", on=None)
def check_people_can_register_and_log_in(evidence: Evidence, edge: EdgeSession) -> None:
    """A new user gets in, once, as a plain user, and comes back with the right password only."""
    person = {"email": new_email("registration"), "password": new_password(), "name": "Check registration"}
    made = expect_success(
        evidence, call(edge, "POST", "auth/register", body={**person, "role": "admin"}), 201
    )
    expect_shape(evidence, "POST /api/v1/auth/register: data", made, "user token expiresIn")
    expect_shape(evidence, "POST /api/v1/auth/register: data.user", made["user"], USER)
    evidence.expect(
        looked_at="role of a user who asked for admin", observed=made["user"]["role"], expected="user"
    )
    expect_error(
        evidence, call(edge, "POST", "auth/register", body=person), 409, "RESOURCE_CONFLICT", why="twice"
    )
    weak = {**person, "email": new_email("weak"), "password": "short"}
    refused = call(edge, "POST", "auth/register", body=weak)
    expect_error(evidence, refused, 400, "VALIDATION_ERROR", why="with a short password")
    login = {"email": person["email"], "password": person["password"]}
    wrong = call(edge, "POST", "auth/login", body={**login, "password": new_password()})
    expect_error(evidence, wrong, 401, "AUTHENTICATION_FAILED", why="with a wrong password")
    back = expect_success(evidence, call(edge, "POST", "auth/login", body=login))
    profile = expect_success(evidence, call(edge, "GET", "auth/profile", credential=back["token"]))
    evidence.expect(
        looked_at="GET /api/v1/auth/profile: who it is",
        observed=(profile["id"], profile["email"]),
        expected=(made["user"]["id"], person["email"]),
    )


@item("POST-FUNC-3", on=None)
def check_keys_can_be_made_and_used(evidence: Evidence, edge: EdgeSession, tenants: Tenants) -> None:
    """A user's key is made, listed without its secret, and accepted by the route that it is for."""
    tenant = tenants.one(evidence)
    made = tenant.key(evidence)
    expect_shape(evidence, "POST /api/v1/keys: data", made, "apiKey secretKey warning")
    expect_shape(evidence, "POST /api/v1/keys: data.apiKey", made["apiKey"], API_KEY)
    listed = call(edge, "GET", "keys", credential=tenant.token)
    keys = expect_success(evidence, listed)
    evidence.expect(
        looked_at="GET /api/v1/keys: total, ids, secret shown",
        observed=(keys["total"], [one["id"] for one in keys["apiKeys"]], made["secretKey"] in listed.text),
        expected=(1, [made["apiKey"]["id"]], False),
    )
    used = call(edge, "POST", "search", credential=made["secretKey"], body={"query": "anything"})
    expect_success(evidence, used)
    bad = {"name": "checks", "environment": "moon"}
    expect_error(
        evidence, call(edge, "POST", "keys", credential=tenant.token, body=bad), 400, "INVALID_ENVIRONMENT"
    )


@item("APP-KEY-1", on=None)
def check_a_key_lives_as_long_as_it_should(evidence: Evidence, edge: EdgeSession, tenants: Tenants) -> None:
    """Form and checksum are right, the key opens its route either way it is sent, and is refused once revoked."""
    tenant = tenants.other(evidence)
    wish = {"name": "to be revoked", "environment": "live"}
    made = expect_success(evidence, call(edge, "POST", "keys", credential=tenant.token, body=wish), 201)
    secret = str(made["secretKey"])
    evidence.expect(looked_at="form of a new key", observed=key_fault(secret, "live"), expected="")
    shown = made["apiKey"]["keyPrefix"]
    evidence.that(
        secret.startswith(shown) and len(secret) - len(shown) >= SHORTEST_RANDOM,
        looked_at="part of a key that stays visible",
        observed=f"{len(shown)} of {len(secret)} characters",
        expected=f"a beginning that leaves {SHORTEST_RANDOM} characters secret",
    )
    question = {"query": "anything"}
    expect_success(evidence, call(edge, "POST", "search", credential=secret, body=question))
    expect_success(evidence, call(edge, "POST", "search", body=question, headers={"X-API-Key": secret}))
    greedy = {**wish, "permissions": ["admin"]}
    refused = call(edge, "POST", "keys", credential=tenant.token, body=greedy)
    expect_error(
        evidence, refused, 403, "FORBIDDEN", "INSUFFICIENT_PERMISSIONS", why="for a key that is admin"
    )
    gone = call(edge, "DELETE", f"keys/{made['apiKey']['id']}", credential=tenant.token)
    expect_success(evidence, gone)
    for _ in range(4):  # every worker and machine has heard of it
        after = call(edge, "POST", "search", credential=secret, body=question)
        expect_error(evidence, after, 401, "INVALID_API_KEY", why="after the key was revoked")


def key_fault(secret: str, environment: str) -> str:
    """What is wrong with the form of a key: prefix, length, or the checksum in its last six characters."""
    prefix = f"lg_sk_{environment}_"
    body, checksum = secret[:-CHECKSUM_LENGTH], secret[-CHECKSUM_LENGTH:]
    if not secret.startswith(prefix):
        return f"does not begin with {prefix}"
    if len(body) - len(prefix) < SHORTEST_RANDOM or not set(body[len(prefix) :]) <= set(ALPHABET):
        return f"has not {SHORTEST_RANDOM} random letters and digits"
    return "" if checksum == checksum_of(body) else "its checksum is wrong"


def checksum_of(body: str) -> str:
    """CRC32 in base 62, six characters."""
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits
