import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from search_api import migrate
from search_api.app import create_app
from search_api.settings import Settings, load_settings
from service_client import Client, Person
from service_processes import MariaDB, app_processes, database_server, redis_server, serving

DATABASE_PASSWORD = "Zq8-service-own-pass"
SEARCHER_PASSWORD = "Yw5-reads-only-pass"
SECRETS = {
    "database_password": DATABASE_PASSWORD,
    "jwt_secret": "kN3vX9qLr7TzW2bYc5HdMf8JgPs4UaEe",
    "api_key_pepper": "Vb6RnQ1xZt9LmKj3WcYd7HfGs5PaUe2X",
    "encryption_keys": "k1:mJ3v0F1yQm0bq3l8yqk0d2o0dGxWZ3U5c3Vwb2lrcXM=",
}

MakeSettings = Callable[..., Settings]
ServeApp = Callable[..., AbstractContextManager[Client]]
TwoApps = Callable[..., AbstractContextManager[tuple[Client, Client]]]


@pytest.fixture(autouse=True)
def _only_the_tests_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("SEARCH_API_") or name == "CREDENTIALS_DIRECTORY":
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _logging_is_left_as_it_was() -> Iterator[None]:
    """An application that a test starts logs to that test's captured output, which ends with the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    with database_server(tmp_path_factory.mktemp("db")) as server:
        server.run(
            "CREATE DATABASE search_api CHARACTER SET utf8mb4",
            f"CREATE USER search_app@'%' IDENTIFIED BY '{DATABASE_PASSWORD}'",
            "GRANT ALL ON `search\\_api%`.* TO search_app@'%'",
            f"CREATE USER searcher@'%' IDENTIFIED BY '{SEARCHER_PASSWORD}'",
            "GRANT SELECT ON `shop%`.* TO searcher@'%'",
        )
        shops = (Path(__file__).parent / "shops.sql").read_text().split(";\n")
        server.run(*(statement for statement in shops if statement.strip()))
        yield server


@pytest.fixture(scope="session")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with redis_server(tmp_path_factory.mktemp("redis")) as port:
        yield port


@pytest.fixture(scope="session")
def setting_values(mariadb: MariaDB, redis_port: int) -> dict[str, Any]:
    """What the tests set, but for the secrets."""
    return {
        "environment": "test",
        "database_port": mariadb.port,
        "redis_port": redis_port,
        "password_memory_kib": 1024,
        "password_time_cost": 1,
        "customer_allowed_networks": "127.0.0.0/8",
        "customer_tls_ca": mariadb.certificates.ca,
        "customer_connect_timeout": 1,
        "customer_statement_timeout": 1,
        "log_level": "warning",
        "warm_cache": False,
        # The tests call from one address and in bursts; those of the limits set the real figures.
        "limit_exempt_networks": "127.0.0.0/8",
        "tier_limits": "free=1000/1000/50,pro=10000/1000/50,enterprise=100000/1000/50",
    }


@pytest.fixture(scope="session")
def make_settings(setting_values: dict[str, Any]) -> MakeSettings:
    def make(**changes: Any) -> Settings:
        return load_settings(**(setting_values | SECRETS | changes))

    return make


@pytest.fixture(scope="session")
def serve(make_settings: MakeSettings) -> ServeApp:
    """Serves the application with changed settings."""

    @contextmanager
    def start(**changes: Any) -> Iterator[Client]:
        with serving(create_app(make_settings(**changes))) as base:
            yield Client(base)

    return start


@pytest.fixture(scope="session")
def client(serve: ServeApp, make_settings: MakeSettings) -> Iterator[Client]:
    """The application over a complete schema, shared by the tests; each makes its own users."""
    migrate.upgrade(make_settings())
    with serve() as served:
        yield served


@pytest.fixture
def two_apps(setting_values: dict[str, Any], client: Client, tmp_path: Path) -> TwoApps:  # noqa: ARG001 (the schema)
    """Serves the application with changed settings by two processes of their own, as two hosts would."""

    @contextmanager
    def start(**changes: Any) -> Iterator[tuple[Client, Client]]:
        values = setting_values | SECRETS | changes
        with app_processes(values, tmp_path, 2) as (first, second):
            yield Client(first), Client(second)

    return start


@pytest.fixture
def person(client: Client) -> Person:
    return client.register()


@pytest.fixture
def other(client: Client) -> Person:
    return client.register()


@pytest.fixture(scope="session")
def shop(mariadb: MariaDB) -> dict[str, Any]:
    """The body that adds the first shop's database."""
    return {
        "name": "shop",
        "host": "127.0.0.1",
        "port": mariadb.port,
        "database": "shop_a",
        "username": "searcher",
        "password": SEARCHER_PASSWORD,
    }
