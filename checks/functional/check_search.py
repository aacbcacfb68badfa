"""Can a user connect a database, and find in it what is there?"""

from __future__ import annotations

import re
from typing import Any

from checks.gate import CouldNotLook, EdgeSession, Evidence, MachineUnderCheck, item
from checks.gate.fleet import Fleet
from checks.probes import mysql
from checks.probes.accounts import CUSTOMER_DATABASE, Tenants, customer_database, new_password
from checks.probes.api import call, expect_error, expect_shape, expect_success
from inventories.schema import Inventory

CONNECTION = "id name host port database username ssl isActive createdAt updatedAt"
RESULT = "id table database relevanceScore matchedColumns data snippet categories"
FOUND = (
    "results categories suggestions queryOptimization totalCount hasMore executionTime page limit modeUsed degraded "
    "cache databases"
)
LONG_WORD = re.compile(r"[a-z]{6,}")
UNLIKELY = "qzxvkjwpgh"  # in no description
LINK_LOCAL = "169.254.169.254"  # where clouds keep their machines' secrets
PAGE = 10


@item("POST-FUNC-4", on=None)
def check_databases_can_be_connected(
    evidence: Evidence, edge: EdgeSession, inventory: Inventory, tenants: Tenants
) -> None:
    """The customer's database is connected over verified TLS, tested, described; wrong ones are refused."""
    tenant = tenants.one(evidence)
    made = tenant.database(evidence)
    expect_shape(evidence, "POST /api/v1/databases: data", made, CONNECTION)
    evidence.expect(
        looked_at="POST /api/v1/databases: host, ssl, password shown",
        observed=(made["host"], made["ssl"], "password" in made),
        expected=(inventory.role("customer")[0].name, True, False),
    )
    tested = expect_success(
        evidence, call(edge, "POST", f"databases/{made['id']}/test", credential=tenant.token)
    )
    evidence.expect(
        looked_at="POST /api/v1/databases/{id}/test", observed=(tested["connected"], tested["message"]),
        expected=(True, tested["message"]),
    )  # fmt: skip
    tables = expect_success(
        evidence, call(edge, "GET", f"databases/{made['id']}/schema", credential=tenant.token)
    )
    indexed = {one["table"]: [index["columns"] for index in one["fullTextIndexes"]] for one in tables}
    evidence.that(
        any("description" in columns for columns in indexed.get("packages", [])),
        looked_at="GET /api/v1/databases/{id}/schema: FULLTEXT indexes",
        observed=indexed,
        expected="one on packages.description",
    )
    for why, change, status, code in (
        ("with a wrong password", {"password": new_password()}, 502, "CONNECTION_ERROR"),
        ("in a forbidden network", {"host": LINK_LOCAL}, 403, "HOST_NOT_ALLOWED"),
        ("on the service's own machine", {"host": "127.0.0.1"}, 403, "HOST_NOT_ALLOWED"),
    ):
        wish = customer_database(inventory, **change)
        expect_error(
            evidence,
            call(edge, "POST", "databases", credential=tenant.token, body=wish),
            status,
            code,
            why=why,
        )


@item("POST-FUNC-5", on=None)
def check_words_find_what_holds_them(
    evidence: Evidence, edge: EdgeSession, fleet: Fleet, tenants: Tenants
) -> None:
    """Words of a real description find its row, counted and paged as the database itself counts; others find none."""
    tenant = tenants.one(evidence)
    connection, key = tenant.database(evidence), str(tenant.paid_key(evidence)["secretKey"])
    customer = fleet.named(fleet.names(("customer",))[0])
    name, words = a_real_row(customer)
    boolean = " ".join(f"+{word}" for word in words)
    wanted = counted(customer, boolean)

    def search(**wish: Any) -> dict[str, Any]:
        answer = call(edge, "POST", "search", credential=key, body={"databases": [connection["id"]], **wish})
        return dict(expect_success(evidence, answer))

    natural = search(query=" ".join([name, *words]), limit=PAGE)
    expect_shape(evidence, "POST /api/v1/search: data", natural, FOUND)
    names = [one["data"].get("name") for one in natural["results"]]
    evidence.that(
        name in names, looked_at=f"natural search for {name} {' '.join(words)}", observed=names, expected=name
    )
    expect_shape(evidence, "POST /api/v1/search: a result", natural["results"][0], RESULT)
    scores = [one["relevanceScore"] for one in natural["results"]]
    evidence.expect(
        looked_at="scores in falling order; reasons of degradation",
        observed=(scores, natural["degraded"]), expected=(sorted(scores, reverse=True), []),
    )  # fmt: skip
    exact = search(query=boolean, searchMode="boolean", limit=PAGE)
    evidence.expect(
        looked_at=f"boolean search for {boolean}: totalCount against the database's own count",
        observed=(exact["totalCount"], exact["modeUsed"]),
        expected=(wanted, "boolean"),
    )
    _expect_stable_pages(evidence, search, words[0])
    nothing = search(query=UNLIKELY)
    evidence.expect(
        looked_at="search for a word that is not there",
        observed=(nothing["totalCount"], nothing["results"], nothing["hasMore"]),
        expected=(0, [], False),
    )
    empty = call(edge, "POST", "search", credential=key, body={"query": ""})
    expect_error(evidence, empty, 400, "VALIDATION_ERROR", why="with no word")


def a_real_row(customer: MachineUnderCheck) -> tuple[str, list[str]]:
    """Name and three long words of one description that many rows could have been chosen from, always the same."""
    rows = mysql.query(
        customer,
        f"SELECT name, REPLACE(SUBSTRING_INDEX(description, '\\n', 1), '\\t', ' ') FROM {CUSTOMER_DATABASE}.packages "  # noqa: S608
        "WHERE name REGEXP '^[a-z]{5,}$' ORDER BY CRC32(name) LIMIT 200",
    )
    for name, line in rows:
        words = list(dict.fromkeys(LONG_WORD.findall(line.lower())))
        if len(words) >= 3:
            return name, words[:3]
    raise CouldNotLook(f"{customer.name}: {len(rows)} packages looked at, none with three long words")


def counted(customer: MachineUnderCheck, boolean: str) -> int:
    """How many rows the database itself finds."""
    rows = mysql.query(
        customer,
        f"SELECT COUNT(*) FROM {CUSTOMER_DATABASE}.packages "  # noqa: S608
        f"WHERE MATCH (name, description) AGAINST ('{boolean}' IN BOOLEAN MODE)",
    )
    return int(rows[0][0])


def _expect_stable_pages(evidence: Evidence, search: Any, word: str) -> None:
    """Two pages of five are the first ten, none twice."""
    both = [one["id"] for one in search(query=word, limit=PAGE)["results"]]
    pages = [search(query=word, limit=PAGE // 2, offset=start)["results"] for start in (0, PAGE // 2)]
    evidence.expect(
        looked_at=f"search for {word} in two pages",
        observed=[one["id"] for page in pages for one in page],
        expected=both,
    )
    evidence.expect(looked_at="rows that come twice", observed=len(both) - len(set(both)), expected=0)
