# ruff: noqa: S608 (the tests' own addresses in the tests' own statements)
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from conftest import SECRETS, MakeSettings
from search_api import migrate
from search_api.cli import main
from search_api.serve import ServeError, _clear_stale_socket, serve
from service_client import Client
from service_processes import free_port

COMMAND = [sys.executable, "-m", "search_api.cli"]


@pytest.fixture
def environment(make_settings: MakeSettings, tmp_path) -> dict[str, str]:
    settings = make_settings()
    migrate.upgrade(settings)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for name, value in SECRETS.items():
        (credentials / name).write_text(value)
    plain = {
        "SEARCH_API_ENVIRONMENT": "test",
        "SEARCH_API_DATABASE_PORT": str(settings.database_port),
        "SEARCH_API_REDIS_PORT": str(settings.redis_port),
        "SEARCH_API_PASSWORD_MEMORY_KIB": "1024",
        "SEARCH_API_METRICS_DIR": str(tmp_path / "metrics"),
        "CREDENTIALS_DIRECTORY": str(credentials),
    }
    return dict(os.environ) | plain


@contextmanager
def started(
    arguments: list[str], environment: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*COMMAND, "serve", *arguments], env=environment, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=10)


def wait_for(condition, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.1)


def get(base: str, path: str) -> requests.Response | None:
    try:
        return requests.get(base + path, timeout=5, headers={"Connection": "close"})
    except requests.ConnectionError:
        return None


def test_workers_serve_share_metrics_and_stop_gracefully(environment, tmp_path):
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    (metrics / "counter_1.db").write_bytes(b"stale")
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with started(["--port", str(port), "--workers", "2"], environment, tmp_path / "log") as process:
        wait_for(lambda: get(base, "/health/ready") is not None)
        assert get(base, "/health/ready").status_code == 200
        for _ in range(6):
            assert get(base, "/health").json()["status"] == "healthy"
        wait_for(lambda: len(list(metrics.glob("counter_*.db"))) >= 2)
        text = get(base, "/metrics").text
        assert 'http_requests_total{method="GET",route="/health",status="200"} 6.0' in text
        assert "\nsearch_api_cpu_seconds_total " in text
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=90) == 0
    assert not (metrics / "counter_1.db").exists()
    log = (tmp_path / "log").read_text()
    assert log.count('"message": "stopped"') == 2
    for secret in SECRETS.values():
        assert secret not in log


def speak(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as plug:
        plug.settimeout(5)
        plug.connect(str(path))
        plug.sendall(
            b"GET /health HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 6.6.6.6, 192.0.2.7\r\nConnection: close\r\n\r\n"
        )
        answer = b""
        while piece := plug.recv(65536):
            answer += piece
    return answer


def test_a_unix_socket_is_served_and_a_stale_one_is_replaced(environment, tmp_path):
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with started(["--uds", str(path), "--workers", "1"], environment, tmp_path / "log") as process:

        def answers() -> bool:
            try:
                return b"200 OK" in speak(path)
            except OSError:
                return False

        wait_for(answers)
        again = subprocess.run(
            [*COMMAND, "serve", "--uds", str(path)],
            env=environment,
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert again.returncode == 1
        assert b"another server answers there; stop it first" in again.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=90) in (0, -signal.SIGTERM)


def test_a_file_in_the_way_of_the_socket_is_named_and_kept(tmp_path):
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(ServeError, match="is in the way and is no socket"):
        _clear_stale_socket(file)
    assert file.read_text() == "precious"
    _clear_stale_socket(tmp_path / "nothing there")


def test_a_metrics_directory_that_cannot_be_made_is_named(make_settings: MakeSettings, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    settings = make_settings(metrics_dir=tmp_path / "file" / "metrics")
    with pytest.raises(ServeError, match="cannot hold metrics"):
        serve(settings, uds=None, host="127.0.0.1", port=0, workers=1)


def create_admin(environment, monkeypatch, password: str, email: str) -> int:
    for name, value in environment.items():
        if name.startswith("SEARCH_API_") or name == "CREDENTIALS_DIRECTORY":
            monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdin", io.StringIO(password + "\n"))
    return main(["create-admin", "--email", email])


def test_create_admin_reads_the_password_from_standard_input(
    client: Client, environment, monkeypatch, capsys
):
    password = "Very-Strong-Pass-1"
    assert create_admin(environment, monkeypatch, password, "Root@Example.com") == 0
    assert capsys.readouterr().out == "root@example.com: administrator made\n"
    login = client.data(
        "POST", "/api/v1/auth/login", json={"email": "root@example.com", "password": password}
    )
    assert login["user"]["role"] == "admin"
    body = {"name": "load", "environment": "test", "rateLimitTier": "enterprise"}
    made = client.data("POST", "/api/v1/keys", login["token"], json=body, status=201)
    assert made["apiKey"]["rateLimitTier"] == "enterprise"


def test_create_admin_promotes_an_existing_user_and_ends_their_tokens(
    client, person, environment, monkeypatch, capsys
):
    assert create_admin(environment, monkeypatch, "Very-Strong-Pass-1", person.email) == 0
    assert "is an administrator with this password now" in capsys.readouterr().out
    assert client.fault("GET", "/api/v1/auth/profile", person.token) == (401, "INVALID_TOKEN")


def test_create_admin_again_with_the_same_password_changes_nothing(
    client, environment, monkeypatch, capsys, mariadb
):
    password, email = "Very-Strong-Pass-1", "again@example.com"
    assert create_admin(environment, monkeypatch, password, email) == 0
    login = client.data("POST", "/api/v1/auth/login", json={"email": email, "password": password})
    before = mariadb.run(f"SELECT * FROM search_api.users WHERE email = '{email}'")
    capsys.readouterr()
    assert create_admin(environment, monkeypatch, password, email) == 0
    assert capsys.readouterr().out == f"{email}: is an administrator with this password, nothing to do\n"
    assert mariadb.run(f"SELECT * FROM search_api.users WHERE email = '{email}'") == before
    assert client.data("GET", "/api/v1/auth/profile", login["token"])["role"] == "admin"
    assert create_admin(environment, monkeypatch, "Another-Strong-Pass-2", email) == 0
    assert client.fault("GET", "/api/v1/auth/profile", login["token"]) == (401, "INVALID_TOKEN")


@pytest.mark.parametrize(
    "command", ["serve", "migrate", "check-settings", "create-admin", "rotate-encryption-key"]
)
def test_help_shows_examples(capsys, command):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert "  search-api " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("password", "email", "words"),
    [
        ("short", "a@example.com", "12 to 256"),
        ("alllowercase-1", "a@example.com", "upper-case"),
        ("x", "nobody", "e-mail"),
    ],
)
@pytest.mark.usefixtures("client")
def test_create_admin_refuses_what_is_weak_or_wrong(environment, monkeypatch, capsys, password, email, words):
    assert create_admin(environment, monkeypatch, password, email) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
