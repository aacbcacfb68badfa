"""Real servers for the tests of the service: MariaDB and Redis on loopback, in temporary directories."""

import getpass
import ipaddress
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymysql
import redis
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fastapi import FastAPI

START_SECONDS = 300  # a crowded computer is slow, not broken


def find_binary(name: str) -> str:
    """The path of a server. Fails with the cure: the tests never go on without it."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        raise RuntimeError(f"{name} is not installed; run `make setup`")
    return path


# Below the ports that the system gives to outgoing connections, so that none of those takes one before it is used; in
# steps, so that test processes beside each other (pytest-xdist's are gw0, gw1, …) never try the same one.
_STEP = 16
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_ports = list(range(10_000 + _worker % _STEP, 32_768, _STEP))
random.shuffle(_ports)


def free_port() -> int:
    """A port of loopback that nobody listens on, given to nobody else."""
    while _ports:
        port = _ports.pop()
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise RuntimeError("no port is left")


def wait_until(ready: Callable[[], bool], what: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if ready():
            return
        time.sleep(0.05)
    raise RuntimeError(f"{what} did not start:\n{log.read_text(errors='replace')[-2000:]}")


@contextmanager
def running(
    command: list[str], what: str, log: Path, ready: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ready, ended by its id however the tests end."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until(ready, what, process, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=15)


@dataclass(frozen=True)
class Certificates:
    """A CA, a server's certificate of it for localhost and 127.0.0.1, and a CA that signed nothing."""

    ca: Path
    certificate: Path
    key: Path
    stranger: Path


def make_certificates(directory: Path) -> Certificates:
    ca_key, ca = _authority("test CA")
    _, stranger = _authority("another CA")
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    leaf = (
        _builder("localhost", ca.subject, key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    made = Certificates(
        directory / "ca.pem", directory / "server.pem", directory / "server.key", directory / "stranger.pem"
    )
    made.ca.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    made.stranger.write_bytes(stranger.public_bytes(serialization.Encoding.PEM))
    made.certificate.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    made.key.chmod(0o600)
    return made


def _authority(name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        _builder(name, subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def _builder(name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    moment = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(minutes=5))
        .not_valid_after(moment + timedelta(days=2))
    )


@dataclass(frozen=True)
class MariaDB:
    """A running server, of either family; ``unix_socket`` takes root without a password."""

    port: int
    unix_socket: Path
    certificates: Certificates

    def run(self, *statements: str, database: str | None = None) -> list[dict[str, Any]]:
        """Run statements as root; the rows of the last."""
        connection = pymysql.connect(
            unix_socket=str(self.unix_socket),
            user="root",
            database=database,
            autocommit=True,
            cursorclass=pymysql.cursors.DictCursor,
        )
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())


@contextmanager
def database_server(directory: Path) -> Iterator[MariaDB]:
    """MariaDB, or MySQL when LAUNCHGATE_TEST_DATABASE=mysql; LAUNCHGATE_TEST_MYSQLD is then the server's path.

    tests/service/unpack_mysqld.sh gets one where the distribution has none.
    """
    flavour = os.environ.get("LAUNCHGATE_TEST_DATABASE", "mariadb")
    if flavour not in ("mariadb", "mysql"):
        raise RuntimeError(f"LAUNCHGATE_TEST_DATABASE={flavour}: mariadb or mysql")
    with (mysql_server if flavour == "mysql" else mariadb_server)(directory) as server:
        yield server


@contextmanager
def mysql_server(directory: Path) -> Iterator[MariaDB]:
    data, unix_socket, port = directory / "data", directory / "db.sock", free_port()
    certificates = make_certificates(directory)
    binary = os.environ.get("LAUNCHGATE_TEST_MYSQLD") or find_binary("mysqld")
    base = [binary, "--no-defaults", f"--datadir={data}", f"--user={getpass.getuser()}"]
    subprocess.run([*base, "--initialize-insecure"], check=True, capture_output=True, timeout=120)
    command = [
        *base,
        f"--socket={unix_socket}",
        f"--port={port}",
        "--bind-address=127.0.0.1",
        f"--pid-file={directory / 'db.pid'}",
        f"--ssl-ca={certificates.ca}",
        f"--ssl-cert={certificates.certificate}",
        f"--ssl-key={certificates.key}",
        "--mysqlx=OFF",
        "--secure-file-priv=NULL",
        "--skip-name-resolve",
        "--disable-log-bin",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-buffer-pool-size=64M",
        "--innodb-redo-log-capacity=16M",
        "--performance-schema=OFF",
    ]
    server = MariaDB(port, unix_socket, certificates)

    def ready() -> bool:
        try:
            return bool(server.run("SELECT 1"))
        except pymysql.err.MySQLError:
            return False

    with running(command, "mysqld", directory / "db.log", ready):
        yield server


@contextmanager
def mariadb_server(directory: Path) -> Iterator[MariaDB]:
    data, unix_socket, port = directory / "data", directory / "db.sock", free_port()
    certificates = make_certificates(directory)
    user = getpass.getuser()
    installer = find_binary("mariadb-install-db")
    # A server that starts clears the temporary tables of its temporary directory, another server's too.
    scratch = directory / "tmp"
    scratch.mkdir()
    subprocess.run(
        [
            installer,
            "--no-defaults",
            f"--datadir={data}",
            f"--user={user}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
        ],
        check=True,
        capture_output=True,
        timeout=START_SECONDS,
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    command = [
        find_binary("mariadbd"),
        "--no-defaults",
        f"--tmpdir={scratch}",
        f"--datadir={data}",
        f"--user={user}",
        f"--socket={unix_socket}",
        f"--port={port}",
        "--bind-address=127.0.0.1",
        f"--pid-file={directory / 'db.pid'}",
        f"--ssl-ca={certificates.ca}",
        f"--ssl-cert={certificates.certificate}",
        f"--ssl-key={certificates.key}",
        "--skip-name-resolve",
        "--skip-log-bin",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-buffer-pool-size=32M",
        "--innodb-log-file-size=8M",
        "--character-set-server=utf8mb4",
    ]
    server = MariaDB(port, unix_socket, certificates)

    def ready() -> bool:
        try:
            return bool(server.run("SELECT 1"))
        except pymysql.err.MySQLError:
            return False

    with running(command, "mariadbd", directory / "db.log", ready):
        yield server


@contextmanager
def redis_server(directory: Path, port: int | None = None) -> Iterator[int]:
    port = port or free_port()
    command = [find_binary("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir"]
    client = redis.Redis(port=port)

    def ready() -> bool:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False

    with running([*command, str(directory)], "redis-server", directory / f"redis-{port}.log", ready):
        yield port


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The application under uvicorn in a thread of this process; gives its base URL."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=free_port(), log_config=None, access_log=False, ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="application")
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    if not server.started:
        raise RuntimeError("the application did not start")
    try:
        yield f"http://127.0.0.1:{config.port}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)


@contextmanager
def app_processes(settings: dict[str, Any], directory: Path, number: int) -> Iterator[list[str]]:
    """The service as so many processes of their own, with one worker each, started at once; gives their base URLs."""
    with ExitStack() as stack, ThreadPoolExecutor(number) as starters:
        starting = [starters.submit(_start_app, settings, directory, stack) for _ in range(number)]
        yield [each.result() for each in starting]


def _start_app(settings: dict[str, Any], directory: Path, stack: ExitStack) -> str:
    return stack.enter_context(_app_process(settings, directory))


@contextmanager
def _app_process(settings: dict[str, Any], directory: Path) -> Iterator[str]:
    port = free_port()
    environment = {f"SEARCH_API_{name.upper()}": str(value) for name, value in settings.items()}
    environment["PATH"] = os.environ["PATH"]
    command = [
        str(Path(sys.executable).with_name("search-api")),
        "serve",
        "--workers",
        "1",
        "--port",
        str(port),
    ]

    def ready() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    log = directory / f"app-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        wait_until(ready, "search-api", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)
