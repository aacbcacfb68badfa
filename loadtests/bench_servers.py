"""Servers of the bench, processes on loopback in a temporary directory: MariaDB, Redis, the service, the yardstick."""

from __future__ import annotations

import base64
import getpass
import json
import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pymysql
from pymysql.connections import Connection

from loadtests.corpus import words
from loadtests.raw_http import once, post

START_SECONDS = 120
ROWS = 20_000
WORDS_A_ROW = 40
TABLE = (
    "CREATE TABLE packages (id INT PRIMARY KEY, name VARCHAR(80), description TEXT,"
    " FULLTEXT KEY text_of_package (name, description))"
)


@dataclass(frozen=True)
class Servers:
    """Where the servers of the bench are."""

    directory: Path
    database_port: int
    redis_port: int
    password: str

    def connect(self, database: str) -> Connection:
        """A plain connection as the account of the customer's database."""
        return pymysql.connect(
            host="127.0.0.1", port=self.database_port, user="bench", password=self.password, database=database
        )


@contextmanager
def servers(directory: Path, core: int) -> Iterator[Servers]:
    """MariaDB with a platform schema and a customer's table, and Redis, both on this core."""
    where = Servers(directory, free_port(), free_port(), secrets.token_urlsafe(24))
    data, unix_socket, user = directory / "data", directory / "db.sock", getpass.getuser()
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", f"--datadir={data}", f"--user={user}", "--skip-test-db",
         "--auth-root-authentication-method=normal", "--skip-name-resolve"],
        check=True, capture_output=True, timeout=START_SECONDS,
    )  # fmt: skip
    mariadb = [
        _binary("mariadbd"), "--no-defaults", f"--datadir={data}", f"--user={user}", f"--socket={unix_socket}",
        f"--port={where.database_port}", "--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin",
        "--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=128M",
        f"--general-log-file={directory / 'general.log'}",
    ]  # fmt: skip
    redis = [_binary("redis-server"), "--port", str(where.redis_port), "--bind", "127.0.0.1", "--save", ""]
    with (
        process(mariadb, core, directory / "db.log", unix_socket.exists),
        process(redis, core, directory / "redis.log", lambda: _listens(where.redis_port)),
    ):
        _fill(unix_socket, where)
        yield where


@contextmanager
def service(where: Servers, core: int, **settings: object) -> Iterator[tuple[int, int]]:
    """The service with one worker on this core; its port and process id."""
    port = free_port()
    values = {
        "environment": "test", "database_port": where.database_port, "database_user": "bench",
        "redis_port": where.redis_port, "customer_allowed_networks": "127.0.0.0/8",
        "limit_exempt_networks": "127.0.0.0/8",
        # A computer that is busy with other things must not look like a dead Redis.
        "redis_timeout": 5,
        # The limits are counted as always and never reached.
        "tier_limits": ",".join(f"{name}=900000000/900000000/9999" for name in ("free", "pro", "enterprise")),
    } | settings  # fmt: skip
    environment = {f"SEARCH_API_{name.upper()}": str(value) for name, value in values.items()}
    environment["CREDENTIALS_DIRECTORY"] = str(_credentials(where))
    environment["PATH"] = os.environ["PATH"]
    command = [str(Path(sys.executable).with_name("search-api"))]
    subprocess.run(
        [*command, "migrate"], env=environment, check=True, capture_output=True, timeout=START_SECONDS
    )
    serve = [*command, "serve", "--workers", "1", "--port", str(port)]
    with process(
        serve, core, where.directory / "service.log", lambda: _listens(port), environment
    ) as running:
        yield port, running.pid


@contextmanager
def bare(where: Servers, core: int, answer: bytes) -> Iterator[int]:
    """The yardstick on this core, giving this answer; its port."""
    port, held = free_port(), where.directory / "answer.json"
    held.write_bytes(json.dumps(json.loads(answer)["data"]).encode())
    environment = {"BARE_ANSWER": str(held), "PATH": os.environ["PATH"]}
    command = [
        sys.executable, "-m", "uvicorn", "loadtests.bare_app:app", "--port", str(port), "--loop", "uvloop",
        "--http", "httptools", "--no-access-log", "--log-level", "warning",
    ]  # fmt: skip
    with process(command, core, where.directory / "bare.log", lambda: _listens(port), environment):
        yield port


def new_caller(where: Servers, port: int) -> str:
    """Register a user with the customer's database; the secret of an API key."""
    person = {"email": f"{secrets.token_hex(6)}@example.com", "password": "Bench-7-horses", "name": "Bench"}
    token = str(_made(port, "/api/v1/auth/register", person)["token"])
    database = {
        "name": "corpus", "host": "127.0.0.1", "port": where.database_port, "database": "corpus",
        "username": "bench", "password": where.password,
    }  # fmt: skip
    _made(port, "/api/v1/databases", database, token)
    return str(_made(port, "/api/v1/keys", {"name": "bench", "environment": "test"}, token)["secretKey"])


@contextmanager
def process(
    command: Sequence[str],
    core: int,
    log: Path,
    ready: Callable[[], bool],
    environment: dict[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process on one core that is ready; ended by its id. Raises RuntimeError when it does not start."""
    with log.open("wb") as output:
        pinned = ["taskset", "-c", str(core), *command]
        running = subprocess.Popen(pinned, stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if running.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield running
    finally:
        running.terminate()
        try:
            running.wait(timeout=40)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(timeout=10)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _made(port: int, path: str, body: Mapping[str, object], token: str | None = None) -> dict[str, object]:
    status, answer = once(port, post(path, json.dumps(body).encode(), token))
    if status != 201:
        raise RuntimeError(f"{path} answered {status}: {answer[:500].decode(errors='replace')}")
    data: dict[str, object] = json.loads(answer)["data"]
    return data


def _credentials(where: Servers) -> Path:
    directory = where.directory / "credentials"
    if not directory.exists():
        directory.mkdir(mode=0o700)
        for name in ("jwt_secret", "api_key_pepper"):
            (directory / name).write_text(secrets.token_urlsafe(40))
        (directory / "database_password").write_text(where.password)
        (directory / "encryption_keys").write_text("k1:" + base64.b64encode(secrets.token_bytes(32)).decode())
    return directory


def _fill(unix_socket: Path, where: Servers) -> None:
    rng, chosen = random.Random(1), words()  # noqa: S311 (a corpus, the same each time)
    rows = [
        (number, f"{rng.choice(chosen)}-{number}", " ".join(rng.choices(chosen, k=WORDS_A_ROW)))
        for number in range(ROWS)
    ]
    with pymysql.connect(unix_socket=str(unix_socket), user="root", autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE DATABASE search_api CHARACTER SET utf8mb4")
        cursor.execute("CREATE DATABASE corpus CHARACTER SET utf8mb4")
        cursor.execute("CREATE USER bench@'127.0.0.1' IDENTIFIED BY %s", (where.password,))
        cursor.execute("GRANT ALL ON *.* TO bench@'127.0.0.1'")
        cursor.execute("USE corpus")
        cursor.execute(TABLE)
        cursor.executemany("INSERT INTO packages VALUES (%s, %s, %s)", rows)
        cursor.execute("ANALYZE TABLE packages")


def _binary(name: str) -> str:
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        raise RuntimeError(f"{name} is not installed; run `make setup`")
    return path


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
