"""Real servers for the tests of the service: MariaDB and Redis on loopback, in temporary directories."""

import getpass
import ipaddress
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
    """A running server; ``unix_socket`` takes root without a password."""

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
def mariadb_server(directory: Path) -> Iterator[MariaDB]:
    data, unix_socket, port = directory / "data", directory / "db.sock", free_port()
    certificates = make_certificates(directory)
    user = getpass.getuser()
    installer = find_binary("mariadb-install-db")
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
    )
    command = [
        find_binary("mariadbd"),
        "--no-defaults",
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
