"""POST search/analyze: how a search would run, by EXPLAIN of the search's own SQL, and what would make it faster.

User text is never run: it is a parameter of statements that this service writes, exactly as in a search.
"""

import time
from collections.abc import Sequence
from typing import Any

from search_api.connections import choose_connections, list_connections, pool_key, target_of
from search_api.customer.connect import CannotConnectError
from search_api.customer.pools import CustomerConnection, StatementFailedError, StatementTimeoutError
from search_api.customer.schema import Table
from search_api.errors import ApiError
from search_api.models import DatabaseConnection
from search_api.search.conditions import Sql, quote
from search_api.search.query import Group, not_indexed_reason, parse_natural, terms_of
from search_api.search.run import new_deadline
from search_api.search.statements import TableSearch, plan_table
from search_api.services import Services
from search_api.vault import UnreadableCredentialError

_MOST_TABLES = 50  # in all databases
_MANY_ROWS = 10_000
_MOST_INDEX_COLUMNS = 16  # of a FULLTEXT index, in both servers


def analyze(services: Services, user_id: str, query: str, databases: Sequence[str] | None) -> dict[str, Any]:
    """``{query, recommendations:[text], performance, optimization:[{type, description, impact, sqlSuggestion?}]}``.

    ``performance`` is ``{tables:[{database, table, method, estimatedRows, explainTime, plan}], databases, …}``; times
    are milliseconds. Raises 404 CONNECTION_NOT_FOUND for a database that is not theirs.
    """
    with services.session() as session:
        rows = choose_connections(list_connections(session, user_id), databases)
    started = time.perf_counter()
    group = parse_natural(query)
    tables: list[dict[str, Any]] = []
    optimization = _about_query(group)
    statuses = []
    for row in rows:
        statuses.append(_about_database(services, row, group, tables, optimization))
    performance = {
        "tables": tables,
        "databases": statuses,
        "estimatedRows": sum(table["estimatedRows"] for table in tables),
        "fullTextTables": sum(table["method"] == "fulltext" for table in tables),
        "likeTables": sum(table["method"] == "like" for table in tables),
        "executionTime": round((time.perf_counter() - started) * 1000, 2),
    }
    return {
        "query": query,
        "recommendations": _recommendations(optimization, tables),
        "performance": performance,
        "optimization": optimization,
    }


def _about_database(
    services: Services,
    row: DatabaseConnection,
    group: Group,
    tables: list[dict[str, Any]],
    optimization: list[dict[str, Any]],
) -> dict[str, str]:
    deadline = new_deadline(services)
    try:
        with services.pools.borrow(pool_key(row), target_of(row, services.vault)) as connection:
            for table in services.schemas.read(pool_key(row), connection, row.database):
                if len(tables) >= _MOST_TABLES or time.monotonic() > deadline:
                    break
                search = plan_table(table, None, "natural", group, services.settings.like_row_cap)
                if search is not None:
                    tables.append({"database": row.id} | _about_table(connection, search))
                    optimization += _index_advice(search)
    except (
        CannotConnectError,
        StatementFailedError,
        StatementTimeoutError,
        UnreadableCredentialError,
    ) as error:
        return {"id": row.id, "status": "error", "error": str(error)}
    except ApiError as error:
        return {"id": row.id, "status": "error", "error": error.message}
    return {"id": row.id, "status": "ok"}


def _about_table(connection: CustomerConnection, search: TableSearch) -> dict[str, Any]:
    started = time.perf_counter()
    plan = _explained(connection, search.hits(20))
    return {
        "table": search.table.name,
        "method": "like" if search.by_like else "fulltext",
        "columns": list(search.columns),
        "estimatedRows": search.table.estimated_rows,
        "explainTime": round((time.perf_counter() - started) * 1000, 2),
        "plan": plan,
    }


def _explained(connection: CustomerConnection, sql: Sql) -> list[dict[str, Any]]:
    # The format is said because MySQL has a variable for it; both servers know this one.
    rows = connection.rows(f"EXPLAIN FORMAT=TRADITIONAL {sql.text}", sql.parameters)
    return [
        {
            "table": row["table"],
            "accessType": row["type"],
            "key": row["key"],
            "rows": int(row["rows"]) if row["rows"] is not None else None,
            "extra": row["Extra"],
        }
        for row in rows
    ]


def _index_advice(search: TableSearch) -> list[dict[str, Any]]:
    table = search.table
    advice = []
    if search.by_like:
        advice.append(
            _advice(
                "index",
                f"{table.name} has no FULLTEXT index: its rows are searched one by one, up to a cap",
                "high" if table.estimated_rows >= _MANY_ROWS else "medium",
                _add_index(table, search.columns),
            )
        )
    elif len(search.indexes) > 1:
        advice.append(
            _advice(
                "index",
                f"{table.name} is searched through {len(search.indexes)} indexes one after the other; "
                "one index over all the columns is faster and ranks better",
                "high" if table.estimated_rows >= _MANY_ROWS else "low",
                _add_index(table, search.columns),
            )
        )
    if not table.primary_key:
        advice.append(
            _advice(
                "schema", f"{table.name} has no primary key: its results have no lasting id", "medium", None
            )
        )
    return advice


def _add_index(table: Table, columns: Sequence[str]) -> str:
    names = list(columns)[:_MOST_INDEX_COLUMNS]
    index = ("ft_" + "_".join(names))[:64]
    listed = ", ".join(map(_shown_name, names))
    return f"ALTER TABLE {_shown_name(table.name)} ADD FULLTEXT INDEX {_shown_name(index)} ({listed})"


def _shown_name(name: str) -> str:
    # For people and not for the driver: a percent sign stays single.
    return quote(name).replace("%%", "%")


def _about_query(group: Group) -> list[dict[str, Any]]:
    words = [word for term in terms_of(group) for word in term.words]
    dropped = [word for word in words if not_indexed_reason(word) is not None]
    if not words:
        return [_advice("query", "the query holds no word", "high", None)]
    if len(dropped) == len(words):
        text = "all words are too short or too common to be in an index; FULLTEXT indexes find nothing"
        return [_advice("query", text, "high", None)]
    if dropped:
        return [_advice("query", f"no index holds these words: {', '.join(dropped)}", "low", None)]
    return []


def _advice(kind: str, description: str, impact: str, sql: str | None) -> dict[str, Any]:
    advice = {"type": kind, "description": description, "impact": impact}
    return advice | ({"sqlSuggestion": sql} if sql is not None else {})


def _recommendations(optimization: Sequence[dict[str, Any]], tables: Sequence[dict[str, Any]]) -> list[str]:
    order = {"high": 0, "medium": 1, "low": 2}
    found = [one["description"] for one in sorted(optimization, key=lambda one: order[one["impact"]])]
    if not found and tables:
        found.append("every table is searched through one FULLTEXT index; nothing to improve")
    if not tables:
        found.append("none of the databases has a table with text to search")
    return found
