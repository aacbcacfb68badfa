"""How the databases carry out the statements that the service sends, explained on real data."""

from __future__ import annotations

import re
from typing import Any

from checks.database.check_schema import app_machines
from checks.gate import Evidence, item
from checks.gate.fleet import Fleet
from checks.probes import slots
from checks.probes.accounts import customer_database
from inventories.schema import Inventory

FEWEST_STATEMENTS = 12  # the journey sends more; fewer means that it did not get through
READS_EVERYTHING = ("all", "index")
SMALL_TABLE_ROWS = 1000  # reading that much takes a millisecond
SERVER_ERROR = 500
# Reviewed: what may read a large table whole, and why. Each has to bound what it fetches.
REVIEWED = {
    r"^SELECT CONCAT_WS\([^;]*\) AS t FROM `[^`]+` WHERE RAND\(1\) < [0-9.]+ LIMIT %s$": "the sample of words for"
    " spelling: kept in Redis for vocabulary_cache_seconds, never of a table beyond two million rows, and the server"
    " ends it at the time limit of every statement",
}
ONE_ROW = "alembic_version"  # there is nothing to look up in it


@item("PERF-DB-1", on=None, timeout_s=60)
def check_every_common_statement_has_an_index(evidence: Evidence, fleet: Fleet, inventory: Inventory) -> None:
    """Each statement on the service's own tables that looks for rows has an index to find them with."""
    statements = [one for one in _statements(evidence, fleet, inventory) if one["database"] == "search_api"]
    looked_up = [
        (one["statement"], row)
        for one in statements
        for row in one["plan"]
        if needs_an_index(row) and ONE_ROW not in one["statement"]
    ]
    evidence.that(
        bool(looked_up), looked_at="tables that statements look up", observed=len(looked_up), expected="some"
    )
    evidence.expect(
        looked_at=f"of {len(looked_up)} look-ups, those that no index serves",
        observed=[f"{row['table']}: {text[:160]}" for text, row in looked_up if not row["possible_keys"]],
        expected=[],
    )


@item("PERF-DB-2", on=None, timeout_s=60)
def check_no_statement_reads_a_large_table_whole(
    evidence: Evidence, fleet: Fleet, inventory: Inventory
) -> None:
    """No plan reads every row of a table that is not small, in the service's database or in the customer's."""
    statements = _statements(evidence, fleet, inventory)
    whole = [
        f"{row['table']} ({row['rows']} rows): {one['statement'][:160]}"
        for one in statements
        for row in one["plan"]
        if reads_all(row) and not reviewed(one["statement"])
    ]
    evidence.expect(
        looked_at=f"of {len(statements)} plans, those that read more than {SMALL_TABLE_ROWS} rows one by one",
        observed=whole,
        expected=[],
    )
    # A line without a table only puts counts of others together.
    searched = [
        row for one in statements if "MATCH" in one["statement"] for row in one["plan"] if row["table"]
    ]
    evidence.that(
        bool(searched) and all(row["type"] == "fulltext" for row in searched),
        looked_at="access to the customer's table when words are searched",
        observed=sorted({f"{row['type']} {row['key']}" for row in searched}) or "no MATCH was sent",
        expected="fulltext",
    )


def needs_an_index(row: dict[str, Any]) -> bool:
    """Whether a line of a plan looks for rows in a table (and is not settled before: const tables, no table)."""
    table = row.get("table")
    if not table or table.startswith("<") or row.get("type") in (None, "system", "const"):
        return False
    return "Select tables optimized away" not in (row.get("extra") or "")


def reads_all(row: dict[str, Any]) -> bool:
    """Whether a line of a plan reads a whole table, or a whole index, of more than a few rows."""
    return str(row.get("type")).lower() in READS_EVERYTHING and int(row.get("rows") or 0) > SMALL_TABLE_ROWS


def reviewed(statement: str) -> bool:
    """Whether reading a large table whole was thought through for this statement."""
    return any(re.search(pattern, " ".join(statement.split())) for pattern in REVIEWED)


def _statements(evidence: Evidence, fleet: Fleet, inventory: Inventory) -> list[dict[str, Any]]:
    """What the running release sends for one user's journey, with the plans; looked at once for all checks."""
    seen = slots.in_active_slot(app_machines(fleet)[0], "plans", customer_database(inventory))
    failed = {
        request: status
        for request, status in seen["requests"].items()
        if status >= SERVER_ERROR or not status
    }
    evidence.expect(
        looked_at=f"{len(seen['requests'])} requests whose statements are explained",
        observed=failed,
        expected={},
    )
    statements = [dict(one) for one in seen["statements"] if one["database"] in ("search_api", "packages")]
    evidence.that(
        len(statements) >= FEWEST_STATEMENTS,
        looked_at="different statements that were explained",
        observed=len(statements),
        expected=f"at least {FEWEST_STATEMENTS}",
    )
    return statements
