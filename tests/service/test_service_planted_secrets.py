"""Secrets are planted in every place that holds one, everything is made to fail, and whatever was said is searched."""

import json
import logging
import os
import subprocess
import sys
from typing import Any

import pytest
from conftest import SEARCHER_PASSWORD, SECRETS, MakeSettings
from pydantic import SecretStr
from search_api.app import create_app
from search_api.settings import Settings, SettingsError, load_settings
from service_client import PASSWORD, Client
from service_processes import free_port, serving

WRONG_PASSWORD = "Wrong-But-Private-1"


def planted() -> dict[str, str]:
    """A value for every secret setting that there is, also for those that are added one day."""
    values = dict(SECRETS)
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, SecretStr) and name not in values:
            values[name] = f"Pl4nted-{name.replace('_', '-')}-Qz7Xw2Kv9"
    return values


def pieces(values: dict[str, str]) -> set[str]:
    """What must never be seen: each secret, and the key inside the list of encryption keys."""
    return set(values.values()) | {values["encryption_keys"].partition(":")[2]}


def searched(text: str, secrets: set[str]) -> list[str]:
    return [secret for secret in secrets if secret in text]


def test_tracebacks_chains_and_libraries_give_no_secret_away(make_settings: MakeSettings, capsys):
    values = planted()
    settings = make_settings(**values | {"log_level": "debug", "redis_password": ""})
    settings = settings.model_copy(update={"redis_password": SecretStr(values["redis_password"])})
    app = create_app(settings)
    login = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
    key = "lg_sk_live_0123456789abcdefghijABCDEFGHIJ"
    texts = {*pieces(values), login, key}

    @app.get("/api/v1/broken/{number}")
    def broken(number: int) -> None:
        secret = sorted(texts)[number]
        logging.getLogger("a.library").error(
            "connecting to mysql://app:%s@db1/x", secret, extra={"dsn": secret}
        )
        try:
            raise ConnectionError(
                f"mysql+pymysql://app:{secret}@db1/search_api refused", {"password": secret}
            )
        except ConnectionError as error:
            raise RuntimeError(f"cannot go on with {secret}") from error

    with serving(app) as base:
        said = [Client(base).call("GET", f"/api/v1/broken/{number}") for number in range(len(texts))]
    assert {answer.status_code for answer in said} == {500}
    logged = capsys.readouterr()
    assert logged.out.count('"message": "request failed"') == len(texts)
    assert "ConnectionError" in logged.out
    for text in (*(answer.text for answer in said), logged.out, logged.err):
        assert searched(text, texts) == []


@pytest.mark.usefixtures("client")
def test_users_secrets_are_in_no_log_and_no_error(serve, shop, capsys):
    with serve(log_level="debug") as noisy:
        user = noisy.register()
        made = user.key()
        row = user.database(shop)
        said = [
            noisy.call("POST", "/api/v1/databases", user.token, json=shop | change)
            for change in (
                {"port": 1},
                {"password": WRONG_PASSWORD},
                {"host": "10.0.0.1"},
                {"port": "x"},
                {"name": 7},
            )
        ]
        said += [
            noisy.call("PUT", f"/api/v1/databases/{row}", user.token, json={"password": WRONG_PASSWORD}),
            noisy.call("POST", f"/api/v1/databases/{row}/test", user.token),
            noisy.call("GET", f"/api/v1/databases/{row}", user.token),
            noisy.call("POST", "/api/v1/auth/login", json={"email": user.email, "password": WRONG_PASSWORD}),
            noisy.call("POST", "/api/v1/auth/register", json={"email": "x", "password": WRONG_PASSWORD}),
            noisy.call("POST", "/api/v1/auth/register", data=f'{{"password": "{WRONG_PASSWORD}"'),
            noisy.call("POST", "/api/v1/auth/change-password", user.token,
                       json={"currentPassword": PASSWORD, "newPassword": WRONG_PASSWORD[:10].lower()}),
            noisy.call("POST", "/api/v1/search", made["secretKey"] + "x", json={"query": "nginx"}),
            noisy.call("GET", f"/api/v1/auth/profile?token={user.token}&key={made['secretKey']}"),
            noisy.call("GET", f"/api/v1/{made['secretKey']}"),
            noisy.call("GET", "/api/v1/keys", user.token),
        ]  # fmt: skip
    secrets = {PASSWORD, WRONG_PASSWORD, SEARCHER_PASSWORD, user.token, made["secretKey"], *pieces(SECRETS)}
    logged = capsys.readouterr()
    for text in (*(answer.text for answer in said), logged.out, logged.err):
        assert searched(text, secrets) == []
    assert all(json.loads(line) for line in logged.out.splitlines())


@pytest.mark.parametrize(
    "command",
    [
        ["check-settings"], ["migrate"], ["create-admin", "--email", "a@example.com"], ["rotate-encryption-key"],
        ["serve", "--uds", "/no/such/folder/http.sock"],
    ],
)  # fmt: skip
def test_no_command_says_a_secret_when_it_fails(command: list[str]):
    values = planted()
    password = "Piped-Pass-Word-1"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SEARCH_API_")}
    environment |= {f"SEARCH_API_{name.upper()}": value for name, value in values.items()}
    environment |= {
        "SEARCH_API_ENVIRONMENT": "test",
        "SEARCH_API_PASSWORD_MEMORY_KIB": "1024",
        "SEARCH_API_DATABASE_PORT": str(free_port()),
        "SEARCH_API_CONNECT_TIMEOUT": "0.5",
        "SEARCH_API_LOG_LEVEL": "debug",
        "SEARCH_API_WORKERS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "search_api.cli", *command],
        env=environment,
        input=password + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == (0 if command == ["check-settings"] else 1)
    assert searched(done.stdout + done.stderr, {*pieces(values), password}) == []


# Redis needs no password in tests, and the accounts for migrations only where there is one.
JUDGED = ["jwt_secret", "api_key_pepper", "encryption_keys", "database_password", "redis_password"]


@pytest.mark.parametrize("environment", ["production", "staging"])
@pytest.mark.parametrize("name", JUDGED)
def test_a_refused_setting_is_one_line_without_any_secret(name: str, environment: str):
    values: dict[str, Any] = planted() | {name: "x1", "environment": environment}
    with pytest.raises(SettingsError) as caught:
        load_settings(**values)
    assert str(caught.value).startswith(f"SEARCH_API_{name.upper()}: ")
    assert "\n" not in str(caught.value)
    assert searched(str(caught.value), pieces(planted())) == []


def test_the_settings_do_not_show_their_secrets_when_they_are_printed(make_settings: MakeSettings):
    values = planted()
    settings = make_settings(**values)
    for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert searched(text, pieces(values)) == []
