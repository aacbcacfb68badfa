# ruff: noqa: S608 (the tests' own ids in the tests' own statements)
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from conftest import MakeSettings
from search_api import administrators
from service_client import PASSWORD, Client, Person
from service_processes import MariaDB

SEARCH = "/api/v1/search"
ANALYTICS = "/api/v1/analytics"
MINE = [
    "search-trends", "performance", "popular-queries", "search-history", "history", "insights", "dashboard", "trends",
    "usage",
]  # fmt: skip
ADMIN = ["system-overview", "user-activity", "performance-metrics"]
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def record(mariadb: MariaDB, person: Person, days_ago: int, query: str, *, times: int = 1, **changes) -> None:
    row = {
        "mode": "natural", "results": 4, "ms": 10.0, "hit": 0, "status": "ok", "databases": "[]", "hour": 0,
    } | changes  # fmt: skip
    moment = TODAY - timedelta(days=days_ago) + timedelta(hours=row["hour"])
    rows = ",".join(
        f"('{uuid.uuid4()}', '{person.id}', NULL, '{query}', '{row['mode']}', '{row['databases']}', {row['results']},"
        f" {row['ms']}, {row['hit']}, '{row['status']}', '{moment:%Y-%m-%d %H:%M:%S}')"
        for _ in range(times)
    )
    mariadb.run(f"INSERT INTO search_api.search_records VALUES {rows}")


def figures(person: Person, name: str, **parameters):
    return person.client.data("GET", f"{ANALYTICS}/{name}", person.token, params=parameters)


@pytest.fixture
def busy(client: Client, mariadb, shop) -> Person:
    """Today: 3 searches, one failed; six days ago: 2; forty days ago: 1."""
    user = client.register()
    database = user.database(shop)
    record(mariadb, user, 0, "apples", ms=10.0, results=2, databases=f'["{database}"]')
    record(mariadb, user, 0, "apples", ms=30.0, results=4, hit=1, databases=f'["{database}"]')
    record(mariadb, user, 0, "pears", ms=20.0, results=0, status="failed", mode="boolean")
    record(
        mariadb, user, 6, "plums", ms=40.0, results=0, hour=23, databases=f'["{database}", "{uuid.uuid4()}"]'
    )
    record(mariadb, user, 6, "apples", ms=50.0, results=6)
    record(mariadb, user, 40, "quinces", ms=60.0)
    return user


def test_search_trends(busy: Person):
    assert figures(busy, "search-trends") == {
        "period": "week",
        "topQueries": ["apples", "pears", "plums"],
        "queryVolume": 5,
        "avgResponseTime": 30.0,
        "popularCategories": [{"name": "shop", "count": 3}],
    }
    assert figures(busy, "search-trends", period="day")["queryVolume"] == 3
    assert figures(busy, "search-trends", period="month")["queryVolume"] == 5
    assert figures(busy, "search-trends", period="3months")["queryVolume"] == 6


def test_performance(busy: Person):
    today, before = f"{TODAY:%Y-%m-%d}", f"{TODAY - timedelta(days=6):%Y-%m-%d}"
    assert figures(busy, "performance") == {
        "timeSeriesData": [
            {
                "date": before, "avg_response_time": 45.0, "max_response_time": 50.0, "min_response_time": 40.0,
                "total_queries": 2, "avg_results": 3.0,
            },
            {
                "date": today, "avg_response_time": 20.0, "max_response_time": 30.0, "min_response_time": 10.0,
                "total_queries": 3, "avg_results": 2.0,
            },
        ],
        "searchModeDistribution": [
            {"search_mode": "boolean", "count": 1, "avg_time": 20.0},
            {"search_mode": "natural", "count": 4, "avg_time": 32.5},
        ],
        "summary": {"totalQueries": 5, "averageResponseTime": 30.0, "averageResults": 2.4},
    }  # fmt: skip


def test_popular_queries(busy: Person):
    found = figures(busy, "popular-queries", limit=1)
    assert found == [
        {
            "query_text": "apples", "frequency": 3, "avg_time": 30.0, "avg_results": 4.0,
            "last_used": f"{TODAY:%Y-%m-%d}T00:00:00.000Z",
        }
    ]  # fmt: skip


def test_search_history_and_its_list(busy: Person):
    found = figures(busy, "search-history", period="year")
    assert set(found) == {"items", "total"}
    assert found["total"] == 6
    assert [item["query"] for item in found["items"]][-2:] == ["apples", "quinces"]
    assert {"id", "query", "database", "resultCount", "executionTime", "timestamp"} <= set(found["items"][0])
    assert figures(busy, "history", period="year") == found["items"]
    page = figures(busy, "search-history", period="year", limit=2, offset=1)
    assert (page["items"], page["total"]) == (found["items"][1:3], 6)
    assert figures(busy, "search-history", period="day")["total"] == 3


def test_trends_of_the_client_libraries(busy: Person):
    found = figures(busy, "trends")
    assert set(found) == {
        "period", "queryVolume", "popularCategories", "searchPatterns", "growth", "dailyBreakdown",
    }  # fmt: skip
    assert found["searchPatterns"][0] == {"query": "apples", "count": 3}
    assert [day["queries"] for day in found["dailyBreakdown"]] == [2, 0, 0, 0, 0, 0, 3]
    assert found["growth"] == {"queryVolume": None}
    first, last = TODAY - timedelta(days=2), TODAY
    assert figures(busy, "trends", startDate=f"{first:%Y-%m-%d}", endDate=f"{last:%Y-%m-%d}")["growth"] == {
        "queryVolume": None
    }
    assert figures(busy, "trends", startDate=f"{TODAY - timedelta(days=3):%Y-%m-%d}")["growth"] == {
        "queryVolume": 50.0
    }


def test_dashboard(busy: Person):
    found = figures(busy, "dashboard")
    assert set(found) == {"trends", "performance", "popularQueries", "insights", "summary"}
    assert found["summary"] == {
        "totalQueries": 5, "averageResponseTime": 30.0, "successRate": 0.8, "activeUsers": 1, "databasesSearched": 1,
        "topQuery": "apples",
    }  # fmt: skip
    for name, part in (
        ("search-trends", "trends"), ("performance", "performance"), ("popular-queries", "popularQueries"),
        ("insights", "insights"),
    ):  # fmt: skip
        assert found[part] == figures(busy, name)


def test_insights_say_what_stands_out(busy: Person, mariadb):
    assert [(one["type"], one["actionable"]) for one in figures(busy, "insights")] == [("no_results", True)]
    for _ in range(20):
        record(mariadb, busy, 0, "slow", ms=5000.0, status="failed")
    found = {one["type"]: one for one in figures(busy, "insights")}
    assert set(found) == {"no_results", "failures", "slow_searches"}
    assert set(found["failures"]) == {"type", "confidence", "description", "actionable", "data"}
    assert found["failures"]["data"] == {"failed": 21, "searches": 25}
    assert all(0 < one["confidence"] < 1 for one in found.values())


def test_usage_counts_requests_and_searches(busy: Person, mariadb):
    key = busy.key()["apiKey"]["id"]
    mariadb.run(f"INSERT INTO search_api.api_key_uses VALUES ('{key}', '{TODAY:%Y-%m-%d %H:%M:%S}', 7)")
    assert figures(busy, "usage", period="day") == {
        "period": "day", "totalRequests": 7, "totalQueries": 3, "cacheHits": 1, "failedQueries": 1,
        "averageResponseTime": 20.0, "byMode": {"boolean": 1, "natural": 2},
        "byKey": [{"keyId": key, "name": "a key", "requests": 7}],
    }  # fmt: skip


@pytest.mark.parametrize("name", MINE)
def test_nothing_of_others_is_in_it_and_an_empty_account_is_no_fault(busy: Person, other: Person, name):
    shown = str(figures(other, name, period="year"))
    assert not any(word in shown for word in ("apples", "pears", "plums", "quinces", busy.id))
    assert figures(busy, name, startDate="2001-01-01", endDate="2001-01-31") is not None


@pytest.mark.parametrize("name", [*MINE, "admin/user-activity"])
@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"startDate": "2026-02-30"}, "startDate"),
        ({"endDate": "yesterday"}, "endDate"),
        ({"period": "fortnight"}, "period"),
        ({"startDate": "2026-02-02", "endDate": "2026-02-01"}, "startDate"),
        ({"startDate": "2020-01-01", "endDate": "2026-02-01"}, "startDate"),
        ({"endDate": "9999-12-31"}, "endDate"),
        ({"endDate": "0001-01-01"}, "endDate"),
    ],
)
def test_dates_and_periods_are_validated(client: Client, admin: Person, name, parameters, field):
    answer = client.call("GET", f"{ANALYTICS}/{name}", admin.token, params=parameters)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert answer.json()["error"]["details"][0]["field"] == field


@pytest.mark.parametrize("name", MINE + [f"admin/{each}" for each in ADMIN])
def test_a_login_is_needed(client: Client, person: Person, name):
    assert client.fault("GET", f"{ANALYTICS}/{name}") == (401, "NO_TOKEN")
    assert client.fault("GET", f"{ANALYTICS}/{name}", person.secret())[0] == 401


def test_days_whose_records_are_gone_are_taken_from_their_sums(person: Person, mariadb):
    old = TODAY - timedelta(days=120)
    mariadb.run(
        "INSERT INTO search_api.search_rollups VALUES "
        f"('{person.id}', '{old:%Y-%m-%d}', 'natural', 10, 2, 5, 30, 400, 5, 90)"
    )
    record(mariadb, person, 120, "half deleted")
    record(mariadb, person, 119, "not summed yet", ms=7.0)
    found = figures(person, "performance", period="6months")
    assert [(day["total_queries"], day["avg_response_time"]) for day in found["timeSeriesData"]] == [
        (10, 40.0),
        (1, 7.0),
    ]
    assert figures(person, "dashboard", period="6months")["summary"]["successRate"] == 0.8182


def test_trends_and_history_by_key(busy: Person):
    key, reader = busy.secret(permissions=["analytics"]), busy.secret()
    client = busy.client
    assert client.data("GET", f"{SEARCH}/trends", key) == figures(busy, "search-trends")
    assert client.fault("GET", f"{SEARCH}/trends", reader) == (403, "INSUFFICIENT_PERMISSIONS")
    assert client.fault("GET", f"{SEARCH}/history", key) == (403, "INSUFFICIENT_PERMISSIONS")
    assert client.data("GET", f"{SEARCH}/history", reader) == figures(busy, "history", period="year")
    page = client.data("GET", f"{SEARCH}/history", reader, params={"limit": 2, "offset": 4})
    assert [item["query"] for item in page] == ["apples", "quinces"]
    for wrong in ({"limit": 0}, {"limit": 101}, {"offset": -1}):
        assert client.fault("GET", f"{SEARCH}/history", reader, params=wrong) == (400, "VALIDATION_ERROR")


def test_a_search_that_was_made_is_in_the_figures(client: Client, person: Person, shop):
    """Every search is recorded, and analytics read it."""
    database = person.database(shop)
    key = person.secret()
    made = client.data("POST", SEARCH, key, json={"query": "scalable", "includeAnalytics": True})
    assert made["trends"]["queryVolume"] == 1
    assert made["trends"]["topQueries"] == ["scalable"]
    item = client.data("GET", f"{SEARCH}/history", key)[0]
    assert (item["query"], item["database"], item["resultCount"]) == ("scalable", database, 1)
    assert item["executionTime"] == made["executionTime"]
    assert figures(person, "dashboard", period="day")["summary"]["topQuery"] == "scalable"


@pytest.fixture(scope="module")
def admin(client: Client, make_settings: MakeSettings) -> Person:
    email = "figures-admin@example.com"
    administrators.create_admin(make_settings(), email=email, name="Admin", password=PASSWORD)
    found = client.data("POST", "/api/v1/auth/login", json={"email": email, "password": PASSWORD})
    return Person(client, email, found["user"]["id"], found["token"])


@pytest.mark.parametrize("name", ADMIN)
def test_only_administrators_see_all(client: Client, person: Person, name):
    assert client.fault("GET", f"{ANALYTICS}/admin/{name}", person.token) == (403, "FORBIDDEN")


def test_system_overview(admin: Person, mariadb):
    before = figures(admin, "admin/system-overview")
    user = admin.client.register()
    record(mariadb, user, 0, "counted")
    old = TODAY - timedelta(days=120)
    mariadb.run(
        "INSERT INTO search_api.search_rollups VALUES "
        f"('{user.id}', '{old:%Y-%m-%d}', 'natural', 10, 2, 5, 30, 400, 5, 90)"
    )
    record(mariadb, user, 120, "in the sums already")
    after = figures(admin, "admin/system-overview")
    assert set(after) == {"totalUsers", "totalSearches", "totalDatabases", "systemHealth"}
    assert after["totalUsers"] == before["totalUsers"] + 1
    assert after["totalSearches"] == before["totalSearches"] + 11
    health = after["systemHealth"]
    assert set(health) == {"status", "uptime", "memoryUsage", "cpuUsage"}
    assert health["status"] == "healthy"
    assert 0 < health["memoryUsage"] < 100
    assert 0 <= health["cpuUsage"] <= 100


def test_user_activity(admin: Person, mariadb):
    user = admin.client.register()
    record(mariadb, user, 0, "active", times=200)
    found = figures(admin, "admin/user-activity", period="day")
    assert set(found) == {"activeUsers", "newUsers", "topUsers"}
    assert (
        found["topUsers"][0].items() >= {"userId": user.id, "email": user.email, "searchCount": 200}.items()
    )
    assert set(found["topUsers"][0]) == {"userId", "email", "searchCount", "lastActive"}
    assert found["newUsers"] >= 1


def test_performance_metrics_come_from_the_machine_and_the_registry(admin: Person):
    before = figures(admin, "admin/performance-metrics")
    assert set(before["system"]) >= {"cpuUsage", "memoryUsage", "diskUsage", "uptime"}
    assert set(before["api"]) == {"requestsPerSecond", "averageResponseTime", "errorRate"}
    assert set(before["database"]) == {"connectionPoolUsage", "averageQueryTime", "slowQueries"}
    assert 0 < before["system"]["diskUsage"] < 100
    assert before["api"]["requestsPerSecond"] > 0
    assert before["api"]["averageResponseTime"] > 0
    assert before["database"]["averageQueryTime"] > 0
    assert 0 <= before["api"]["errorRate"] < 1
