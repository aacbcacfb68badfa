# ruff: noqa: S608 (the tests' own ids in the tests' own statements)
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import ServeApp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from service_client import Client, Person

SEARCH = "/api/v1/search"


@pytest.fixture(scope="module")
def reader(client: Client, shop) -> tuple[Client, str, str, str]:
    """A user with both shops: client, key, ids of the shops."""
    user = client.register()
    first = user.database(shop)
    second = user.database(shop | {"name": "second", "database": "shop_b"})
    return client, user.secret(), first, second


def ask(reader, query: str, **body):
    client, key, first, _ = reader
    return client.data(
        "POST", SEARCH, key, json={"query": query, "databases": [first], "tables": ["packages"]} | body
    )


def names(found) -> list[str]:
    return [result["data"]["name"] for result in found["results"]]


def test_the_answer_has_exactly_the_published_fields(reader):
    found = ask(reader, "scalable")
    assert set(found) == {
        "results", "categories", "suggestions", "queryOptimization", "totalCount", "totalCountCapped", "hasMore",
        "executionTime", "page", "limit", "modeUsed", "degraded", "cache", "databases",
    }  # fmt: skip
    result = found["results"][0]
    assert set(result) == {
        "id", "table", "database", "relevanceScore", "matchedColumns", "data", "snippet", "categories",
    }  # fmt: skip
    assert (result["id"], result["table"], result["database"]) == ("packages:1", "packages", reader[2])
    assert result["matchedColumns"] == ["description"]
    assert result["data"] == {
        "id": 1, "name": "nginx", "section": "httpd", "price": 1.5, "added": "2024-01-02",
        "description": "small powerful scalable web server and proxy",
    }  # fmt: skip
    assert 0 < result["relevanceScore"] < 1
    assert "scalable" in result["snippet"]
    assert (found["totalCount"], found["hasMore"], found["page"], found["limit"]) == (1, False, 1, 20)
    assert (found["modeUsed"], found["degraded"], found["databases"]) == (
        "natural",
        [],
        [{"id": reader[2], "status": "ok"}],
    )
    assert found["categories"] == [{"name": "httpd", "count": 1, "confidence": 1.0}]


def test_the_envelope_of_a_search_carries_time_and_tier(reader):
    client, key, _, _ = reader
    meta = client.call("POST", SEARCH, key, json={"query": "nginx"}).json()["meta"]
    assert set(meta) == {"timestamp", "requestId", "version", "executionTime", "apiKeyTier"}
    assert meta["executionTime"] > 0


@pytest.mark.parametrize(
    "change",
    [
        {"query": ""}, {"query": "   "}, {"query": "x" * 501}, {"limit": 0}, {"limit": 101}, {"offset": -1},
        {"searchMode": "magic"}, {"databases": ["no uuid"]}, {"offset": 20_000}, {"tables": ["no_such_table"]},
        {"columns": ["no_such_column"]}, {"tables": ["numbers"]},
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_a_400(reader, change):
    client, key, first, _ = reader
    body = {"query": "nginx", "databases": [first]} | change
    assert client.fault("POST", SEARCH, key, json=body) == (400, "VALIDATION_ERROR")


def test_natural_mode_finds_any_word_in_order_of_relevance(reader):
    found = ask(reader, "worldwide web server")
    assert names(found)[0] == "apache2"
    assert set(names(found)) == {"apache2", "nginx", "mariadb-server"}
    scores = [result["relevanceScore"] for result in found["results"]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("+web +server -modules", {"nginx"}),
        ("+server +(worldwide scalable)", {"apache2", "nginx"}),
        ('"database server"', {"mariadb-server"}),
        ("data*", {"mariadb-server", "redis"}),
        ("mariadb-server", {"mariadb-server"}),
        ("+nginx", {"nginx", "proxychains"}),
        ("+server ~web", {"apache2", "nginx", "mariadb-server"}),
        ("-nginx", set()),
        ('+nginx +"', {"nginx", "proxychains"}),
        ("+-nginx proxy)", set()),
    ],
)
def test_boolean_mode_is_boolean(reader, query, expected):
    found = ask(reader, query, searchMode="boolean")
    assert set(names(found)) == expected
    assert found["modeUsed"] == "boolean"


@pytest.mark.parametrize(
    "query", ["+", "-", "()", '"', '""', "***", "+-~<>", "@", "(((((((((a)))))))))", "a " * 70]
)
def test_a_boolean_query_without_sense_is_a_400(reader, query):
    client, key, _, _ = reader
    fault = client.fault("POST", SEARCH, key, json={"query": query, "searchMode": "boolean"})
    assert fault == (400, "VALIDATION_ERROR")


OPERATORS = st.text(alphabet="+-~<>()\"*@'%\\;`#/ abcdefgé日\x00", min_size=1, max_size=60)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    query=OPERATORS,
    mode=st.sampled_from(["natural", "boolean"]),
    tables=st.sampled_from([None, ["packages"], ["notes"]]),
)
def test_no_user_text_is_ever_sql(reader, query, mode, tables):
    client, key, first, _ = reader
    body = {"query": query, "searchMode": mode, "databases": [first], "tables": tables}
    answer = client.call("POST", SEARCH, key, json=body)
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 200:
        assert answer.json()["data"]["databases"] == [{"id": first, "status": "ok"}]


@pytest.mark.parametrize(
    "name", ["packages`; DROP TABLE x; --", "packages WHERE 1=1", "%s", "shop_b.articles"]
)
def test_names_are_looked_up_and_never_sent(reader, name):
    client, key, _, _ = reader
    for field in ("tables", "columns"):
        fault = client.fault("POST", SEARCH, key, json={"query": "nginx", field: [name]})
        assert fault == (400, "VALIDATION_ERROR")


def test_semantic_mode_falls_back_and_says_so(reader):
    found = ask(reader, "scalable", searchMode="semantic")
    assert (found["modeUsed"], found["degraded"]) == ("natural", ["ai_unavailable"])
    assert names(found) == ["nginx"]


def test_no_tables_means_all_searchable_tables_and_no_databases_means_all(reader):
    client, key, first, second = reader
    found = client.data("POST", SEARCH, key, json={"query": "nginx webserver"})
    assert {(row["database"], row["table"]) for row in found["results"]} == {
        (first, "packages"),
        (first, "notes"),
        (second, "articles"),
    }
    assert found["totalCount"] == len(found["results"]) == 4
    assert {entry["status"] for entry in found["databases"]} == {"ok"}


def test_a_column_subset_works_although_match_names_a_whole_index(reader):
    assert set(names(ask(reader, "nginx"))) == {"nginx", "proxychains"}
    assert names(ask(reader, "nginx", columns=["name"])) == ["nginx"]
    only_description = ask(reader, "nginx", columns=["description"])
    assert names(only_description) == ["proxychains"]
    assert only_description["degraded"] == []
    assert only_description["results"][0]["matchedColumns"] == ["description"]
    assert only_description["totalCount"] == 1


@pytest.mark.parametrize(
    ("query", "columns", "expected"),
    [
        ("+server -nginx", ["description"], {"nginx", "apache2", "mariadb-server"}),
        ("+server +web", ["description"], {"nginx", "apache2"}),
        ("data*", ["name"], set()),
        ('"database server"', ["description"], {"mariadb-server"}),
        ("the server", ["name"], {"mariadb-server"}),
        ("(nginx redis) -persistent", ["name"], {"nginx", "redis"}),
    ],
)
def test_boolean_mode_on_a_column_subset_looks_at_those_columns_only(reader, query, columns, expected):
    assert set(names(ask(reader, query, columns=columns, searchMode="boolean"))) == expected


def test_a_column_without_index_is_searched_by_looking_and_says_so(reader):
    found = ask(reader, "httpd", columns=["section"])
    assert set(names(found)) == {"nginx", "apache2"}
    assert found["degraded"] == ["no_fulltext_index"]


@pytest.mark.parametrize(
    ("query", "mode", "ids"),
    [
        ("webserver", "natural", ["notes:1"]),
        ("100%", "natural", ["notes:2"]),
        ("proxy_pass", "natural", ["notes:2"]),
        ("proxy", "natural", ["notes:3", "notes:2"]),
        ("+proxy -rules", "boolean", ["notes:3"]),
        ('"webserver reboot"', "boolean", ["notes:1"]),
        ("-reboot", "boolean", []),
        ("!!!", "natural", []),
    ],
)
def test_a_table_without_index_is_searched_with_like_and_says_so(reader, query, mode, ids):
    found = ask(reader, query, tables=["notes"], searchMode=mode)
    assert [result["id"] for result in found["results"]] == ids
    assert found["degraded"] == ["no_fulltext_index"]


@pytest.mark.usefixtures("client")
def test_the_row_cap_of_like_is_kept_and_said(serve: ServeApp, shop):
    with serve(like_row_cap=2) as capped:
        user = capped.register()
        user.database(shop)
        body = {"query": "proxy", "tables": ["notes"]}
        found = capped.data("POST", SEARCH, user.secret(), json=body)
    assert [result["id"] for result in found["results"]] == ["notes:2"]
    assert (found["totalCountCapped"], found["degraded"]) == (True, ["no_fulltext_index", "row_cap"])


def test_a_table_without_key_is_searched_too(reader):
    found = ask(reader, "marathon", tables=["events"])
    assert sorted(result["data"]["at_day"] for result in found["results"]) == ["2024-01-01", "2024-01-02"]
    assert found["totalCount"] == 2


def test_paging_is_exact_stable_and_counts_the_truth(reader):
    client, key, _, second = reader
    body = {"query": "gadget plain", "databases": [second], "limit": 10}
    seen: list[str] = []
    for page in range(6):
        found = client.data("POST", SEARCH, key, json=body | {"offset": page * 10})
        assert (found["totalCount"], found["totalCountCapped"], found["page"]) == (57, False, page + 1)
        assert found["hasMore"] is (page < 5)
        seen += [result["id"] for result in found["results"]]
    assert len(seen) == len(set(seen)) == 57
    shifted = client.data("POST", SEARCH, key, json=body | {"offset": 3})
    assert [result["id"] for result in shifted["results"]] == seen[3:13]
    assert client.data("POST", SEARCH, key, json=body | {"offset": 60})["results"] == []


def test_one_order_over_all_databases(reader):
    client, key, first, second = reader
    whole = client.data("POST", SEARCH, key, json={"query": "nginx web server", "limit": 100})["results"]
    scores = [result["relevanceScore"] for result in whole]
    assert scores == sorted(scores, reverse=True)
    assert {result["database"] for result in whole} == {first, second}
    parts = []
    for offset in range(0, len(whole), 2):
        page = client.data(
            "POST", SEARCH, key, json={"query": "nginx web server", "limit": 2, "offset": offset}
        )
        parts += page["results"]
    assert parts == whole


def test_one_failing_database_leaves_the_rest_and_all_failing_is_a_502(
    client: Client, person: Person, shop, mariadb
):
    good, bad = person.database(shop), person.database(shop | {"database": "shop_b"})
    mariadb.run(f"UPDATE search_api.database_connections SET port = 1 WHERE id = '{bad}'")
    key = person.secret()
    found = client.data("POST", SEARCH, key, json={"query": "scalable"})
    status = {entry["id"]: entry["status"] for entry in found["databases"]}
    assert status == {good: "ok", bad: "error"}
    assert found["totalCount"] == 1
    assert found["degraded"] == ["database_unavailable", "no_fulltext_index"]
    again = client.data("POST", SEARCH, key, json={"query": "scalable"})
    assert again["cache"] == "miss", "an incomplete answer is not kept"
    answer = client.call("POST", SEARCH, key, json={"query": "scalable", "databases": [bad]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "SEARCH_FAILED")
    assert answer.json()["error"]["details"]["databases"][0]["id"] == bad


@pytest.mark.usefixtures("client")
def test_a_database_that_takes_too_long_is_a_504(serve: ServeApp, shop, mariadb):
    with serve(customer_statement_timeout=0.3) as hasty:
        user = hasty.register()
        user.database(shop)
        key = user.secret()
        hasty.data("POST", SEARCH, key, json={"query": "warm", "tables": ["packages"]})
        with ThreadPoolExecutor(1) as executor:
            locking = executor.submit(
                mariadb.run, "LOCK TABLES shop_a.packages WRITE", "SELECT SLEEP(2)", "UNLOCK TABLES"
            )
            time.sleep(0.2)
            fault = hasty.fault("POST", SEARCH, key, json={"query": "scalable", "tables": ["packages"]})
            locking.result()
        assert fault == (504, "SEARCH_TIMEOUT")
        assert (
            hasty.data("POST", SEARCH, key, json={"query": "scalable", "tables": ["packages"]})["totalCount"]
            == 1
        )


@pytest.mark.usefixtures("client")
def test_broken_connections_are_replaced(serve: ServeApp, shop, mariadb):
    with serve(cache_search_seconds=0) as fresh:
        user = fresh.register()
        user.database(shop)
        key = user.secret()
        for _ in range(2):
            assert fresh.data("POST", SEARCH, key, json={"query": "scalable"})["totalCount"] == 1
            for row in mariadb.run("SELECT id FROM information_schema.processlist WHERE user = 'searcher'"):
                mariadb.run(f"KILL {row['id']}")


def test_every_search_is_recorded(client: Client, person: Person, shop, mariadb):
    first = person.database(shop)
    key = person.key()
    for _ in range(2):
        client.data("POST", SEARCH, key["secretKey"], json={"query": "scalable", "searchMode": "boolean"})
    mariadb.run(
        f"UPDATE search_api.database_connections SET port = 1, updated_at = NOW(3) WHERE id = '{first}'"
    )
    client.data("PUT", f"/api/v1/databases/{first}", person.token, json={"name": "unreachable now"})
    client.fault("POST", SEARCH, key["secretKey"], json={"query": "doomed"})
    time.sleep(1.5)  # records are written once a second
    rows = mariadb.run(f"SELECT * FROM search_api.search_records WHERE user_id = '{person.id}' ORDER BY id")
    assert [
        (row["query_text"], row["search_mode"], row["result_count"], row["cache_hit"], row["status"])
        for row in rows
    ] == [
        ("scalable", "boolean", 1, 0, "ok"),
        ("scalable", "boolean", 1, 1, "ok"),
        ("doomed", "natural", 0, 0, "failed"),
    ]
    assert {row["api_key_id"] for row in rows} == {key["apiKey"]["id"]}
    assert all(first in row["database_ids"] and row["execution_ms"] > 0 for row in rows)


def test_analytics_are_given_when_asked_for(client: Client, person: Person, shop):
    person.database(shop)
    found = client.data("POST", SEARCH, person.secret(), json={"query": "scalable", "includeAnalytics": True})
    assert set(found["trends"]) == {
        "period",
        "topQueries",
        "queryVolume",
        "avgResponseTime",
        "popularCategories",
    }


@pytest.mark.usefixtures("client")
def test_the_least_used_pools_are_closed(serve: ServeApp, shop):
    with serve(customer_pools=1, cache_search_seconds=0) as small:
        user = small.register()
        ids = [user.database(shop), user.database(shop | {"database": "shop_b"})]
        key = user.secret()
        for _ in range(2):
            for each in ids:
                assert (
                    small.data("POST", SEARCH, key, json={"query": "nginx", "databases": [each]})[
                        "totalCount"
                    ]
                    > 0
                )
