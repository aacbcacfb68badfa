"""Is text that comes in ever taken for SQL?"""

# ruff: noqa: S608 (here statements are what is tried)

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

from checks.database.check_schema import primary_of
from checks.gate import EdgeSession, Evidence, MachineUnderCheck, item
from checks.gate.fleet import Fleet
from checks.probes import mysql
from checks.probes.accounts import Tenant, Tenants, new_email, new_password
from checks.probes.api import Answer, call, expect_success

SLEEP_S = 9
TOO_LONG_S = 7.0  # a busy machine may take seconds; a statement that sleeps takes longer
SERVER_ERROR = 500
AT_ONCE = 3
PATTERNS = (
    "' OR '1'='1",
    "'; DROP TABLE users; -- x",
    f"x') OR SLEEP({SLEEP_S}) -- ",
    f'1" AND (SELECT 1 FROM (SELECT SLEEP({SLEEP_S})) t) #',
    "' UNION SELECT 1, USER(), VERSION() -- ",
    "+((*\" @>< ~~ `; -- \\' %s %(x)s {0}",
)
DATA_RIGHTS = {"SELECT", "INSERT", "UPDATE", "DELETE"}


@item("HARD-APP-3", on=None, timeout_s=90)
def check_text_is_never_sql(evidence: Evidence, edge: EdgeSession, tenants: Tenants) -> None:
    """SQL in every field where text may stand: refused or taken as text, at once, and nothing is let through."""
    tenant = tenants.one(evidence)
    connection, key = tenant.database(evidence)["id"], str(tenant.paid_key(evidence)["secretKey"])
    with ThreadPoolExecutor(AT_ONCE) as pool:
        tried = list(pool.map(lambda pattern: _tries(edge, tenant, key, connection, pattern), PATTERNS))
    for pattern, answers in zip(PATTERNS, tried, strict=True):
        for answer in answers:
            evidence.that(
                answer.status < SERVER_ERROR and answer.seconds < TOO_LONG_S,
                looked_at=f"{answer.asked} with {pattern}",
                observed=f"{answer.shown} after {answer.seconds:.2f} s",
                expected=f"an answer below {SERVER_ERROR} within {TOO_LONG_S:g} s",
            )
        login = call(
            edge, "POST", "auth/login", body={"email": f"{tenant.email}{pattern}", "password": pattern}
        )
        evidence.that(
            login.status in (400, 401), looked_at=f"{login.asked} with {pattern}", observed=login.shown,
            expected="400 or 401",
        )  # fmt: skip


@item("HARD-APP-3", on=None)
def check_text_comes_back_as_it_went_in(evidence: Evidence, edge: EdgeSession) -> None:
    """A name full of quotes and comments is kept to the letter, and nobody else's row is touched."""
    for pattern in PATTERNS[:2]:
        person = {"email": new_email("injection"), "password": new_password(), "name": f"O'{pattern}"}
        made = expect_success(evidence, call(edge, "POST", "auth/register", body=person), 201)
        kept = expect_success(evidence, call(edge, "GET", "auth/profile", credential=made["token"]))
        evidence.expect(
            looked_at="GET /api/v1/auth/profile: name, role", observed=(kept["name"], kept["role"]),
            expected=(person["name"], "user"),
        )  # fmt: skip


@item("HARD-APP-3", on=None)
def check_the_accounts_could_do_little_harm(evidence: Evidence, fleet: Fleet) -> None:
    """Should SQL slip through all the same: the service's accounts can neither read files nor change a schema."""
    primary = primary_of(fleet)
    _expect_rights(
        evidence, mysql_rights(primary, "search_app"), {("search_api", right) for right in DATA_RIGHTS}
    )
    for name in fleet.names(("customer",)):
        _expect_rights(evidence, mysql_rights(fleet.named(name), "searcher"), {("packages", "SELECT")})


def mysql_rights(machine: MachineUnderCheck, user: str) -> set[tuple[str, str]]:
    """(database or "*", right) of every account of this name; USAGE is none."""
    like = f"grantee LIKE '\\'{user}\\'@%'"
    rows = mysql.query(
        machine,
        f"SELECT '*', privilege_type FROM information_schema.user_privileges WHERE {like} UNION "
        f"SELECT table_schema, privilege_type FROM information_schema.schema_privileges WHERE {like} UNION "
        f"SELECT CONCAT(table_schema, '.', table_name), privilege_type FROM information_schema.table_privileges "
        f"WHERE {like}",
    )
    return {(where, right) for where, right in rows if right != "USAGE"}


def _expect_rights(evidence: Evidence, rights: set[tuple[str, str]], allowed: set[tuple[str, str]]) -> None:
    evidence.that(
        bool(rights),
        looked_at="rights of the account",
        observed=sorted(rights),
        expected=f"within {sorted(allowed)}",
    )
    evidence.expect(
        looked_at="rights beyond what the service needs", observed=sorted(rights - allowed), expected=[]
    )


def _tries(edge: EdgeSession, tenant: Tenant, key: str, connection: str, pattern: str) -> list[Answer]:
    """One request for each place where text comes in."""
    question: dict[str, Any] = {"query": "library", "databases": [connection], "limit": 1}
    searches: list[dict[str, Any]] = [
        {**question, "query": pattern},
        {**question, "query": pattern, "searchMode": "boolean"},
        {**question, "tables": [pattern]},
        {**question, "columns": [pattern]},
        {**question, "databases": [pattern]},
        {**question, "limit": pattern},
    ]
    found = [call(edge, "POST", "search", credential=key, body=body) for body in searches]
    for path in ("databases/{}", "keys/{}", "keys/{}/usage"):
        found.append(call(edge, "GET", path.format(quote(pattern, safe="")), credential=tenant.token))
    wish = {"name": pattern, "host": pattern, "database": pattern, "username": pattern, "password": pattern}
    found.append(
        call(edge, "POST", "keys", credential=tenant.token, body={"name": pattern, "environment": pattern})
    )
    found.append(call(edge, "POST", "databases", credential=tenant.token, body=wish))
    found.append(
        call(edge, "GET", "auth/profile", credential=tenant.token, headers={"X-Request-Id": "1' OR '1'='1"})
    )
    login = {"email": f"{tenant.email}{pattern}", "password": pattern}
    return [*found, call(edge, "POST", "auth/login", body=login)]
