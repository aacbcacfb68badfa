"""The service with its MariaDB and Redis on loopback, as processes of this computer, and one user with a key."""

from __future__ import annotations

import base64
import getpass
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

START_SECONDS = 120
LOAD_SECONDS = 600
CUSTOMER = "corpus"


class Missing(Exception):
    """Something that is needed is not there. The message says what, and the cure."""


@dataclass(frozen=True)
class LocalService:
    """A running service and the customer's database behind it."""

    base: str
    key: str
    client: tuple[str, ...]

    def search(self, http: requests.Session, body: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """The ``data`` of a search and the milliseconds that it took over HTTP. Waits when the key's limit says so."""
        for _ in range(20):
            started = time.perf_counter()
            answer = http.post(
                f"{self.base}/api/v1/search",
                json=body,
                headers={"Authorization": f"Bearer {self.key}"},
                timeout=60,
            )
            milliseconds = (time.perf_counter() - started) * 1000
            if answer.status_code != 429:
                break
            time.sleep(float(answer.headers.get("Retry-After", "1")))
        answer.raise_for_status()
        return dict(answer.json()["data"]), milliseconds

    def fill(self, command: Sequence[str]) -> None:
        """Run the SQL that a program prints in the customer's database."""
        with subprocess.Popen(command, stdout=subprocess.PIPE) as loader:
            loaded = subprocess.run(
                [*self.client, CUSTOMER], stdin=loader.stdout, timeout=LOAD_SECONDS, check=False
            )
        if loader.returncode or loaded.returncode:
            raise Missing(f"{command[1]}: the corpus could not be loaded; see above")

    def rows(self, statement: str) -> Iterator[list[str]]:
        """Rows of text of the customer's database."""
        text = subprocess.run(
            [*self.client, CUSTOMER, "--batch", "--skip-column-names", "-e", statement],
            check=True, stdout=subprocess.PIPE, timeout=LOAD_SECONDS,
        ).stdout.decode()  # fmt: skip
        for line in text.splitlines():
            yield [_plain(value) for value in line.split("\t")]


@contextmanager
def local_service(folder: Path, settings: dict[str, str] | None = None) -> Iterator[LocalService]:
    """Everything started, ended by its process id. Raises Missing when a server is not installed or does not start."""
    with ExitStack() as stack:
        client = stack.enter_context(_mariadb(folder))
        redis = stack.enter_context(_redis(folder))
        words = {name: secrets.token_urlsafe(24) for name in ("database", "customer", "administrator")}
        statements = (
            "CREATE DATABASE search_api CHARACTER SET utf8mb4",
            f"CREATE DATABASE {CUSTOMER} CHARACTER SET utf8mb4",
            f"CREATE USER search_app@'%' IDENTIFIED BY '{words['database']}'",
            "GRANT ALL ON search_api.* TO search_app@'%'",
            f"CREATE USER reader@'%' IDENTIFIED BY '{words['customer']}'",
            f"GRANT SELECT ON {CUSTOMER}.* TO reader@'%'",
        )
        # Standard input, so that no password is on a command line.
        subprocess.run(client, input=";\n".join(statements).encode(), check=True, timeout=60)
        environment = _environment(folder, client, redis, words["database"], settings or {})
        base = stack.enter_context(_service(folder, environment))
        yield LocalService(base, _key(base, environment, client, words), client)


@contextmanager
def _mariadb(folder: Path) -> Iterator[tuple[str, ...]]:
    """A server; gives the client's command, port last."""
    data, unix_socket, port = folder / "db", folder / "db.sock", _free_port()
    user = getpass.getuser()
    subprocess.run(
        [
            _binary("mariadb-install-db"), "--no-defaults", f"--datadir={data}", f"--user={user}",
            "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
        ],
        check=True, stdout=subprocess.DEVNULL, timeout=120,
    )  # fmt: skip
    command = [
        _binary("mariadbd"), "--no-defaults", f"--datadir={data}", f"--user={user}", f"--socket={unix_socket}",
        f"--port={port}", "--bind-address=127.0.0.1", f"--pid-file={folder / 'db.pid'}", "--skip-name-resolve",
        "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=256M",
        "--character-set-server=utf8mb4",
    ]  # fmt: skip
    client = (
        _binary("mariadb"), "--no-defaults", f"--socket={unix_socket}", "--user=root", f"--port={port}",
        "--default-character-set=utf8mb4",
    )  # fmt: skip

    def ready() -> bool:
        asked = subprocess.run([*client, "-e", "SELECT 1"], capture_output=True, timeout=10, check=False)
        return asked.returncode == 0

    with _process(command, folder / "db.log", ready):
        yield client


@contextmanager
def _redis(folder: Path) -> Iterator[int]:
    port = _free_port()
    command = [
        _binary("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)
    ]  # fmt: skip
    with _process(command, folder / "redis.log", lambda: _listens(port)):
        yield port


@contextmanager
def _service(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    command = [sys.executable, "-m", "search_api.cli"]
    subprocess.run([*command, "migrate"], env=environment, check=True, stdout=subprocess.DEVNULL, timeout=120)
    port = _free_port()
    serve = [*command, "serve", "--port", str(port), "--workers", "1"]
    with _process(serve, folder / "service.log", lambda: _listens(port), environment):
        yield f"http://127.0.0.1:{port}"


def _environment(
    folder: Path, client: Sequence[str], redis: int, password: str, settings: dict[str, str]
) -> dict[str, str]:
    credentials = folder / "credentials"
    credentials.mkdir(mode=0o700)
    secret = {
        "database_password": password,
        "jwt_secret": secrets.token_urlsafe(48),
        "api_key_pepper": secrets.token_urlsafe(48),
        "encryption_keys": "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
    }
    for name, value in secret.items():
        (credentials / name).write_text(value)
    plain = {
        "environment": "test",
        "database_port": _database_port(client),
        "redis_port": str(redis),
        "customer_allowed_networks": "127.0.0.0/8",
        "cache_search_seconds": "0",
        "log_level": "warning",
    } | settings
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SEARCH_API_")}
    return kept | {
        "CREDENTIALS_DIRECTORY": str(credentials),
        **{f"SEARCH_API_{name.upper()}": value for name, value in plain.items()},
    }


def _key(base: str, environment: dict[str, str], client: Sequence[str], words: dict[str, str]) -> str:
    """A key of the largest tier, of an administrator, with the customer's database."""
    email, password = "bench@example.com", words["administrator"] + "aA1!"
    subprocess.run(
        [sys.executable, "-m", "search_api.cli", "create-admin", "--email", email],
        env=environment, input=f"{password}\n".encode(), check=True, stdout=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    token = _post(base, "auth/login", "", {"email": email, "password": password})["token"]
    database = {
        "name": "corpus", "host": "127.0.0.1", "port": int(_database_port(client)), "database": CUSTOMER,
        "username": "reader", "password": words["customer"],
    }  # fmt: skip
    _post(base, "databases", token, database)
    wanted = {
        "name": "bench",
        "environment": "test",
        "permissions": ["search"],
        "rateLimitTier": "enterprise",
    }
    return str(_post(base, "keys", token, wanted)["secretKey"])


def _post(base: str, path: str, token: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = requests.post(f"{base}/api/v1/{path}", json=body, headers=headers, timeout=60)
    if not answer.ok:
        raise Missing(f"{path}: {answer.text}")
    return dict(answer.json()["data"])


@contextmanager
def _process(
    command: Sequence[str], log: Path, ready: Callable[[], bool], environment: dict[str, str] | None = None
) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise Missing(f"{command[0]} did not start: {log.read_text(errors='replace')[-1000:]}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=45)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=15)


def _binary(name: str) -> str:
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        raise Missing(f"{name} is not installed; run `make setup`")
    return path


def _database_port(client: Sequence[str]) -> str:
    return next(option for option in client if option.startswith("--port=")).partition("=")[2]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _plain(value: str) -> str:
    return value.replace("\\n", "\n").replace("\\t", "\t").replace("\\\\", "\\")
