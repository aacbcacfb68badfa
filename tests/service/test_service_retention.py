# ruff: noqa: S608 (the tests' own ids in the tests' own statements)
import os
import signal
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta

import pymysql
import pytest
from conftest import SECRETS, MakeSettings
from search_api.retention import purge
from service_client import Client, Person
from service_processes import MariaDB

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
SCHEMA = "search_api"


def record(mariadb: MariaDB, person: Person, days_ago: int, number: int = 1, **changes) -> None:
    row = {"mode": "natural", "results": 4, "ms": 10.0, "hit": 0, "status": "ok", "hour": 0} | changes
    moment = TODAY - timedelta(days=days_ago) + timedelta(hours=row["hour"])
    rows = ",".join(
        f"('{uuid.uuid4()}', '{person.id}', NULL, 'x', '{row['mode']}', '[]', {row['results']}, {row['ms']},"
        f" {row['hit']}, '{row['status']}', '{moment:%Y-%m-%d %H:%M:%S}')"
        for _ in range(number)
    )
    mariadb.run(f"INSERT INTO {SCHEMA}.search_records VALUES {rows}")


def days_recorded(mariadb: MariaDB, person: Person) -> list[int]:
    rows = mariadb.run(
        f"SELECT DISTINCT DATE(created_at) AS d FROM {SCHEMA}.search_records WHERE user_id = '{person.id}' ORDER BY d"
    )
    return [(TODAY.date() - row["d"]).days for row in rows]


def sums(mariadb: MariaDB, person: Person) -> list[tuple]:
    rows = mariadb.run(
        f"SELECT * FROM {SCHEMA}.search_rollups WHERE user_id = '{person.id}' ORDER BY day, search_mode"
    )
    return [
        (
            (TODAY.date() - row["day"]).days, row["search_mode"], row["searches"], row["failed"], row["cache_hits"],
            row["results"], row["total_ms"], row["min_ms"], row["max_ms"],
        )
        for row in rows
    ]  # fmt: skip


@pytest.fixture
def keep(client: Client, make_settings: MakeSettings):  # noqa: ARG001 (the schema is there)
    def run(**changes) -> list[str]:
        return list(purge(make_settings(**changes)))

    return run


def test_full_days_are_summed_and_old_records_go(person: Person, mariadb, keep):
    for days_ago in (0, 1, 89, 90, 91, 200):
        record(mariadb, person, days_ago, 2)
    record(mariadb, person, 1, 3, ms=40.0, hit=1, results=0, hour=23)
    record(mariadb, person, 1, 4, status="failed")
    record(mariadb, person, 1, 1, mode="boolean", ms=7.5)
    lines = keep()
    expected = [
        (200, "natural", 2, 0, 0, 8, 20.0, 10.0, 10.0),
        (91, "natural", 2, 0, 0, 8, 20.0, 10.0, 10.0),
        (90, "natural", 2, 0, 0, 8, 20.0, 10.0, 10.0),
        (89, "natural", 2, 0, 0, 8, 20.0, 10.0, 10.0),
        (1, "boolean", 1, 0, 0, 4, 7.5, 7.5, 7.5),
        (1, "natural", 9, 4, 3, 24, 180.0, 10.0, 40.0),
    ]
    if datetime.now(UTC) - TODAY > timedelta(hours=1):  # yesterday is settled an hour after midnight
        assert sums(mariadb, person) == expected
    assert days_recorded(mariadb, person) == [90, 89, 1, 0]
    assert lines[0].startswith("summed up: ")
    assert any("search records" in line for line in lines)
    keep()
    if datetime.now(UTC) - TODAY > timedelta(hours=1):
        assert sums(mariadb, person) == expected, "a second run changes nothing"


def test_late_records_are_added_and_days_half_deleted_are_left_alone(person: Person, mariadb, keep):
    record(mariadb, person, 5, 3)
    record(mariadb, person, 100, 10)
    keep(search_record_days=200)
    record(mariadb, person, 5, 2)
    mariadb.run(
        f"DELETE FROM {SCHEMA}.search_records WHERE user_id = '{person.id}' AND created_at < NOW() - INTERVAL 50 DAY"
        " LIMIT 6"
    )
    keep(search_record_days=200)
    assert [(day, number) for day, _, number, *_ in sums(mariadb, person)] == [(100, 10), (5, 5)]


def test_the_days_are_settings(person: Person, mariadb, keep):
    record(mariadb, person, 12)
    record(mariadb, person, 8)
    keep(search_record_days=10, rollup_days=11)
    assert days_recorded(mariadb, person) == [8]
    assert [day for day, *_ in sums(mariadb, person)] == [8]


def test_everything_else_that_is_too_old_goes(person: Person, mariadb, keep):
    key = person.key()["apiKey"]["id"]
    old, young = TODAY - timedelta(days=401), TODAY - timedelta(days=399)
    for moment in (old, young):
        mariadb.run(
            f"INSERT INTO {SCHEMA}.search_rollups VALUES ('{person.id}', '{moment:%Y-%m-%d}', 'x', 1,0,0,1,1,1,1)",
            f"INSERT INTO {SCHEMA}.ai_calls VALUES ('{uuid.uuid4()}', '{person.id}', NULL, 'embed', 'm', 'ok', 1, 0, 5,"
            f" 1.0, '{moment:%Y-%m-%d %H:%M:%S}')",
            f"INSERT INTO {SCHEMA}.api_key_uses VALUES ('{key}', '{moment:%Y-%m-%d %H:%M:%S}', 1)",
        )
    dead, live = uuid.uuid4(), uuid.uuid4()
    mariadb.run(
        f"INSERT INTO {SCHEMA}.revoked_tokens VALUES ('{dead}', '{TODAY - timedelta(days=1):%Y-%m-%d %H:%M:%S}'),"
        f" ('{live}', '{TODAY + timedelta(days=2):%Y-%m-%d %H:%M:%S}')"
    )
    keep()
    assert [day for day, *_ in sums(mariadb, person)] == [399]
    for table, column, wanted in (("ai_calls", "user_id", person.id), ("api_key_uses", "api_key_id", key)):
        rows = mariadb.run(f"SELECT * FROM {SCHEMA}.{table} WHERE {column} = '{wanted}'")
        assert [(row.get("created_at") or row.get("hour")).date() for row in rows] == [young.date()]
    tokens = mariadb.run(
        f"SELECT token_id FROM {SCHEMA}.revoked_tokens WHERE token_id IN ('{dead}', '{live}')"
    )
    assert [row["token_id"] for row in tokens] == [str(live)]


def test_only_one_at_a_time(mariadb, keep):
    name = f"search_api_purge:{SCHEMA}"
    runs = purge_beside_a_lock(mariadb, name, keep)
    assert runs == ["another purge is running; nothing done"]
    assert len(keep()) > 1, "the lock ends with its connection"


def purge_beside_a_lock(mariadb: MariaDB, name: str, keep) -> list[str]:
    with pymysql.connect(unix_socket=str(mariadb.unix_socket), user="root") as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(%s, 0)", (name,))
        return keep()


def command(make_settings: MakeSettings, folder) -> tuple[list[str], dict[str, str]]:
    settings = make_settings()
    for name, value in SECRETS.items():
        (folder / name).write_text(value)
    plain = {
        "SEARCH_API_ENVIRONMENT": "test",
        "SEARCH_API_DATABASE_PORT": str(settings.database_port),
        "SEARCH_API_REDIS_PORT": str(settings.redis_port),
        "CREDENTIALS_DIRECTORY": str(folder),
    }
    return [sys.executable, "-m", "search_api.cli"], dict(os.environ) | plain


def test_killed_at_any_moment_no_search_is_lost_or_counted_twice(
    person: Person, mariadb, make_settings: MakeSettings, tmp_path, keep
):
    for days_ago in (95, 96, 97):
        for _ in range(4):
            record(mariadb, person, days_ago, 2_000)
    words, environment = command(make_settings, tmp_path)
    for wait in (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3):
        process = subprocess.Popen([*words, "purge"], env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()  # it has summed up and deletes now
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)
        process.stdout.close()
        found = {day: number for day, _, number, *_ in sums(mariadb, person)}
        assert found == {97: 8_000, 96: 8_000, 95: 8_000}
    assert keep()
    assert days_recorded(mariadb, person) == []
    assert {number for _, _, number, *_ in sums(mariadb, person)} == {8_000}


def test_the_command_says_what_it_did(mariadb, make_settings: MakeSettings, tmp_path, person: Person):
    record(mariadb, person, 300, 3)
    words, environment = command(make_settings, tmp_path)
    done = subprocess.run(
        [*words, "purge"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "summed up: 1 days, 3 searches" in done.stdout
    assert "deleted: 3 search records" in done.stdout
    environment["SEARCH_API_DATABASE_PORT"] = "1"
    failed = subprocess.run(
        [*words, "purge"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert failed.returncode == 1
    assert "own database cannot be used" in failed.stderr
