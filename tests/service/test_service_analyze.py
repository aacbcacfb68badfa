import uuid

import pytest
from service_client import Client, Person

ANALYZE = "/api/v1/search/analyze"


@pytest.fixture(scope="module")
def analyst(client: Client, shop) -> tuple[Client, str, str, str]:
    user = client.register()
    first = user.database(shop)
    second = user.database(shop | {"name": "second", "database": "shop_b"})
    return client, user.secret(permissions=["analytics"]), first, second


def analysis(analyst, query: str, **body):
    client, key, _, _ = analyst
    found = client.data("POST", ANALYZE, key, json={"query": query} | body)
    assert set(found) == {"query", "recommendations", "performance", "optimization"}
    assert found["query"] == query
    assert found["recommendations"]
    for one in found["optimization"]:
        assert (
            {"type", "description", "impact"}
            <= set(one)
            <= {"type", "description", "impact", "sqlSuggestion"}
        )
        assert one["type"] in {"index", "query", "schema"}
        assert one["impact"] in {"low", "medium", "high"}
    return found


def test_each_table_is_explained_as_it_would_be_searched(analyst):
    _, _, first, _ = analyst
    found = analysis(analyst, "web server", databases=[first])
    tables = {table["table"]: table for table in found["performance"]["tables"]}
    assert set(tables) == {"packages", "notes", "events"}
    assert tables["packages"]["method"] == "fulltext"
    assert tables["packages"]["plan"][0]["accessType"] == "fulltext"
    assert tables["packages"]["plan"][0]["key"] == "both_columns"
    assert tables["notes"]["method"] == "like"
    assert found["performance"]["databases"] == [{"id": first, "status": "ok"}]
    assert found["performance"]["executionTime"] > 0


def test_what_is_suggested_can_be_run_and_helps(analyst, mariadb):
    _, _, first, _ = analyst
    found = analysis(analyst, "proxy", databases=[first])
    advice = [one for one in found["optimization"] if "notes" in one["description"]]
    assert [one["type"] for one in advice] == ["index"]
    statement = advice[0]["sqlSuggestion"]
    assert statement.startswith(
        "ALTER TABLE `notes` ADD FULLTEXT INDEX `ft_body_odd ``name %s` (`body`, `odd ``name %s`)"
    )
    mariadb.run("CREATE DATABASE shop_copy", "CREATE TABLE shop_copy.notes LIKE shop_a.notes")
    mariadb.run(statement, database="shop_copy")
    mariadb.run("DROP DATABASE shop_copy")


def test_several_indexes_and_missing_keys_are_noticed(analyst):
    found = analysis(analyst, "marathon")
    kinds = {(one["type"], one["description"].split()[0]) for one in found["optimization"]}
    assert kinds == {("index", "notes"), ("index", "articles"), ("schema", "events")}


@pytest.mark.parametrize(
    ("query", "impact"), [("the of", "high"), ("!!!", "high"), ("the server", "low"), ("server", None)]
)
def test_words_that_no_index_holds_are_said(analyst, query, impact):
    advice = [one for one in analysis(analyst, query)["optimization"] if one["type"] == "query"]
    assert [one["impact"] for one in advice] == ([impact] if impact else [])


@pytest.mark.parametrize(
    "query",
    [
        "SELECT SLEEP(5)", "'; DROP TABLE packages; --", "x') UNION SELECT 1 -- x", "%s %(x)s %%", "`", "\\' OR 1=1",
        "\x00", "日本語 %",
    ],
)  # fmt: skip
def test_user_text_is_never_run(analyst, query, mariadb):
    mariadb.run("SET GLOBAL general_log = 0", "SET GLOBAL log_output = 'TABLE'", "TRUNCATE mysql.general_log",
                "SET GLOBAL general_log = 1")  # fmt: skip
    try:
        analysis(analyst, query)
    finally:
        mariadb.run("SET GLOBAL general_log = 0")
    sent = mariadb.run(
        "SELECT CONVERT(argument USING utf8mb4) AS t FROM mysql.general_log WHERE command_type = 'Query'"
        " AND user_host LIKE 'searcher%'"
    )
    asked = [row["t"] for row in sent if "MATCH" in row["t"] or "LIKE" in row["t"]]
    assert asked
    assert all(text.startswith("EXPLAIN ") for text in asked if "information_schema" not in text)


def test_permission_owner_and_validation(client: Client, person: Person, other: Person, shop):
    theirs = other.database(shop)
    key = person.secret(permissions=["analytics"])
    assert client.fault("POST", ANALYZE, person.secret(), json={"query": "x"}) == (
        403,
        "INSUFFICIENT_PERMISSIONS",
    )
    for wrong in (theirs, str(uuid.uuid4())):
        fault = client.fault("POST", ANALYZE, key, json={"query": "x", "databases": [wrong]})
        assert fault == (404, "CONNECTION_NOT_FOUND")
    for body in ({}, {"query": ""}, {"query": "x", "databases": ["no id"]}):
        assert client.fault("POST", ANALYZE, key, json=body) == (400, "VALIDATION_ERROR")
    assert analysis((client, key, "", ""), "x")["performance"]["tables"] == []


def test_a_database_that_is_down_is_said(client: Client, person: Person, shop, mariadb):
    bad = person.database(shop)
    mariadb.run(f"UPDATE search_api.database_connections SET port = 1 WHERE id = '{bad}'")  # noqa: S608
    found = analysis((client, person.secret(permissions=["analytics"]), "", ""), "x")
    assert found["performance"]["databases"][0]["status"] == "error"
