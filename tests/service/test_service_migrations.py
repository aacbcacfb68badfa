# ruff: noqa: S608 (the tests' own ids in the tests' own statements)
import itertools
import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from conftest import DATABASE_PASSWORD, MakeSettings
from search_api import migrate
from search_api.cli import main
from search_api.database import SCHEMA_NUMBER
from search_api.migrate import MigrationError
from search_api.models import Base
from service_processes import MariaDB

HEAD = f"{SCHEMA_NUMBER:04d}"
_numbers = itertools.count(1)


@pytest.fixture
def empty(mariadb: MariaDB, make_settings: MakeSettings):
    name = f"search_api_m{next(_numbers)}"
    mariadb.run(f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    yield make_settings(database_name=name)
    mariadb.run(f"DROP DATABASE {name}")


def shape(mariadb: MariaDB, name: str) -> list[dict[str, object]]:
    return mariadb.run(
        "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLLATION_NAME, COLUMN_KEY"
        f" FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = '{name}'"
        " AND TABLE_NAME <> 'alembic_version' ORDER BY TABLE_NAME, ORDINAL_POSITION"
    )


def test_up_down_and_up_again_give_the_same_schema(empty, mariadb):
    assert migrate.upgrade(empty) == ("base", HEAD)
    first = shape(mariadb, empty.database_name)
    assert {row["TABLE_NAME"] for row in first} == set(Base.metadata.tables)
    assert migrate.upgrade(empty) == (HEAD, HEAD)
    for number in range(SCHEMA_NUMBER - 1, 0, -1):
        assert migrate.downgrade(empty, f"{number:04d}") == (f"{number + 1:04d}", f"{number:04d}")
    assert migrate.downgrade(empty, "base") == ("0001", "base")
    assert shape(mariadb, empty.database_name) == []
    assert migrate.upgrade(empty) == ("base", HEAD)
    assert shape(mariadb, empty.database_name) == first


@pytest.mark.usefixtures("mariadb")
def test_the_migrations_make_what_the_models_say(empty):
    migrate.upgrade(empty)
    with migrate._locked(empty) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, Base.metadata) == []


def test_a_revision_that_died_halfway_runs_again(empty, mariadb):
    migrate.upgrade(empty)
    mariadb.run(f"UPDATE {empty.database_name}.alembic_version SET version_num = '0005'")
    assert migrate.upgrade(empty) == ("0005", HEAD)


def test_a_newer_schema_is_left_alone(empty, mariadb):
    migrate.upgrade(empty)
    mariadb.run(f"UPDATE {empty.database_name}.alembic_version SET version_num = '0099'")
    assert migrate.upgrade(empty) == ("0099", "0099")


def test_an_unknown_revision_is_refused(empty):
    migrate.upgrade(empty)
    with pytest.raises(MigrationError, match="cannot go from 0009 to 0042"):
        migrate.downgrade(empty, "0042")


def test_two_migrations_never_run_at_once(empty):
    results: list[tuple[str, str]] = []
    threads = [threading.Thread(target=lambda: results.append(migrate.upgrade(empty))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(results) == sorted([("base", HEAD)] + [(HEAD, HEAD)] * 3)


@pytest.mark.usefixtures("mariadb")
def test_a_migration_that_waits_too_long_says_so(empty, make_settings):
    hasty = make_settings(database_name=empty.database_name, migrate_lock_timeout=0.2)
    with migrate._locked(empty), pytest.raises(MigrationError, match=r"another migration of .* is running"):
        migrate.upgrade(hasty)
    assert migrate.upgrade(hasty) == ("base", HEAD)


def test_the_command_migrates_with_the_account_for_it(empty, mariadb, capsys, monkeypatch):
    mariadb.run(
        "DROP USER IF EXISTS migrator@'%'",
        "CREATE USER migrator@'%' IDENTIFIED BY 'Rt4-changes-the-schema'",
        f"GRANT ALL ON {empty.database_name}.* TO migrator@'%'",
    )
    for name in ("database_name", "database_port", "redis_port", "environment", "password_memory_kib"):
        monkeypatch.setenv(f"SEARCH_API_{name.upper()}", str(getattr(empty, name)))
    for name in ("database_password", "jwt_secret", "api_key_pepper", "encryption_keys"):
        monkeypatch.setenv(f"SEARCH_API_{name.upper()}", getattr(empty, name).get_secret_value())
    monkeypatch.setenv("SEARCH_API_MIGRATE_DATABASE_USER", "migrator")
    monkeypatch.setenv("SEARCH_API_MIGRATE_DATABASE_PASSWORD", "Rt4-changes-the-schema")
    assert main(["migrate"]) == 0
    assert capsys.readouterr().out == f"schema: base -> {HEAD}\n"
    assert main(["migrate"]) == 0
    assert capsys.readouterr().out == f"schema: {HEAD}, nothing to do\n"
    assert main(["migrate", "--down", "0003"]) == 0
    assert capsys.readouterr().out == f"schema: {HEAD} -> 0003\n"
    assert main(["migrate", "--down", "nowhere"]) == 1
    assert "cannot go from 0003 to nowhere" in capsys.readouterr().err
    mariadb.run("DROP USER migrator@'%'")
    assert main(["migrate"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("search-api: the service's own database cannot be used:")
    assert error.count("\n") == 1
    assert DATABASE_PASSWORD not in error
