from pathlib import Path

import pytest
from conftest import SECRETS
from search_api.cli import main
from search_api.env_example import render_env_example
from search_api.settings import Settings, SettingsError, load_settings

ROOT = Path(__file__).resolve().parents[2]
REDIS_PASSWORD = "Fh2-redis-own-secret"
GOOD = SECRETS | {"redis_password": REDIS_PASSWORD}


def test_good_settings_load_in_production():
    settings = load_settings(**GOOD)
    assert settings.environment == "production"
    assert settings.jwt_key == SECRETS["jwt_secret"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"jwt_secret": ""}, "SEARCH_API_JWT_SECRET: is missing; make one"),
        ({"jwt_secret": "short"}, "SEARCH_API_JWT_SECRET: is shorter than 32"),
        ({"jwt_secret": "a" * 40}, "SEARCH_API_JWT_SECRET: is not random"),
        ({"jwt_secret": "your-secret-key-with-many-characters-1234"}, "SEARCH_API_JWT_SECRET: is not random"),
        ({"api_key_pepper": ""}, "SEARCH_API_API_KEY_PEPPER: is missing"),
        ({"api_key_pepper": SECRETS["jwt_secret"]}, "SEARCH_API_API_KEY_PEPPER: is the same as jwt_secret"),
        ({"database_password": "changeme"}, "SEARCH_API_DATABASE_PASSWORD: is too weak"),
        ({"redis_password": ""}, "SEARCH_API_REDIS_PASSWORD: is missing"),
        ({"migrate_database_user": "m"}, "SEARCH_API_MIGRATE_DATABASE_PASSWORD: is missing"),
        ({"encryption_keys": ""}, "SEARCH_API_ENCRYPTION_KEYS: is missing"),
        ({"encryption_keys": "k1"}, "SEARCH_API_ENCRYPTION_KEYS: entry 1 is not keyid:BASE64"),
        ({"encryption_keys": "k1:AAA"}, "SEARCH_API_ENCRYPTION_KEYS: entry 1 is not base64"),
        ({"encryption_keys": "k1:c2hvcnQ="}, "SEARCH_API_ENCRYPTION_KEYS: entry 1 is 5 bytes and not 32"),
        ({"encryption_keys": "k1:" + "A" * 43 + "="}, "SEARCH_API_ENCRYPTION_KEYS: entry 1 is not random"),
        (
            {"encryption_keys": f"{SECRETS['encryption_keys']},{SECRETS['encryption_keys']}"},
            "SEARCH_API_ENCRYPTION_KEYS: key id k1 appears twice",
        ),
        ({"password_memory_kib": 1024}, "SEARCH_API_PASSWORD_MEMORY_KIB: is too little"),
        (
            {"pool_timeout": 1},
            "SEARCH_API_POOL_TIMEOUT: is 1 s; make it longer than SEARCH_API_CONNECT_TIMEOUT, 3 s",
        ),
        ({"customer_read_timeout": 5}, "SEARCH_API_CUSTOMER_READ_TIMEOUT: is 5 s; make it longer"),
        ({"keep_alive": 60}, "SEARCH_API_KEEP_ALIVE: Input should be greater than or equal to 75"),
        ({"cors_origins": "*"}, "SEARCH_API_CORS_ORIGINS: is not a list of origins"),
        (
            {"customer_allowed_networks": "10.0.0.1/8"},
            "SEARCH_API_CUSTOMER_ALLOWED_NETWORKS: 10.0.0.1/8 has host bits",
        ),
        (
            {"database_tls_ca": "/no/such/ca.pem"},
            "SEARCH_API_DATABASE_TLS_CA: names a file that does not exist",
        ),
        ({"metrics_networks": "10.0.0.1/8"}, "SEARCH_API_METRICS_NETWORKS: 10.0.0.1/8 has host bits"),
        ({"metrics_networks": "ops1"}, "SEARCH_API_METRICS_NETWORKS: 'ops1' does not appear"),
        ({"database_host": "db1"}, "SEARCH_API_DATABASE_TLS_CA: is missing and db1 is another machine"),
        ({"redis_host": "cache1"}, "SEARCH_API_REDIS_TLS_CA: is missing and cache1 is another machine"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_in_one_line(change, expected):
    with pytest.raises(SettingsError) as caught:
        load_settings(**(GOOD | change))
    message = str(caught.value)
    assert message.startswith(expected)
    assert "\n" not in message
    assert "; " in message, "the line must name a cure"
    for secret in GOOD.values():
        assert secret not in message


def test_several_faults_are_one_line_that_names_them_all():
    with pytest.raises(SettingsError) as caught:
        load_settings(**(GOOD | {"jwt_secret": "", "redis_password": ""}))
    assert str(caught.value).endswith("(also wrong: SEARCH_API_REDIS_PASSWORD)")
    with pytest.raises(SettingsError) as caught:
        load_settings(**(GOOD | {"workers": 0, "threads": "many"}))
    assert "SEARCH_API_WORKERS" in str(caught.value)
    assert str(caught.value).endswith("(also wrong: SEARCH_API_THREADS)")


def test_development_tolerates_weak_secrets_but_never_a_missing_encryption_key():
    relaxed = load_settings(environment="development", encryption_keys=SECRETS["encryption_keys"])
    assert relaxed.pepper
    with pytest.raises(SettingsError, match="ENCRYPTION_KEYS: is missing"):
        load_settings(environment="development")


def test_a_credential_file_wins_over_the_variable(tmp_path, monkeypatch):
    for name, value in GOOD.items():
        (tmp_path / name).write_text(value + "\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("SEARCH_API_JWT_SECRET", "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk")
    monkeypatch.setenv("SEARCH_API_TRUSTED_PROXIES", "10.1.2.0/24, 192.0.2.1")
    monkeypatch.setenv("SEARCH_API_DRAIN_FILE", "")
    settings = load_settings()
    assert settings.jwt_key == SECRETS["jwt_secret"]
    assert [str(network) for network in settings.trusted_proxies] == ["10.1.2.0/24", "192.0.2.1/32"]
    assert settings.drain_file is None


def test_an_unreadable_credential_file_is_named(tmp_path, monkeypatch):
    (tmp_path / "jwt_secret").mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(
        SettingsError, match=r"SEARCH_API_JWT_SECRET: the credential file cannot be read .*; make it"
    ):
        load_settings()


def test_an_unknown_variable_is_refused(monkeypatch):
    monkeypatch.setenv("SEARCH_API_POOLSIZE", "3")
    with pytest.raises(SettingsError, match="SEARCH_API_POOLSIZE: is no setting"):
        load_settings(**GOOD)


def test_the_command_refuses_with_exit_code_2_and_one_line(capsys, monkeypatch):
    for name, value in GOOD.items():
        monkeypatch.setenv(f"SEARCH_API_{name.upper()}", value)
    assert main(["check-settings"]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith("\nsettings: good for production\n")
    for name in Settings.model_fields:
        assert f"SEARCH_API_{name.upper()}: " in printed
    assert "SEARCH_API_JWT_SECRET: secret, set\n" in printed
    assert "SEARCH_API_WORKERS: 2 (default)\n" in printed
    assert "SEARCH_API_ENCRYPTION_KEYS: 1 key of 32 random bytes\n" in printed
    for secret in GOOD.values():
        assert secret not in printed
    monkeypatch.delenv("SEARCH_API_JWT_SECRET")
    for command in (["check-settings"], ["migrate"], ["serve"], ["create-admin", "--email", "a@example.com"]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert error.startswith("search-api: SEARCH_API_JWT_SECRET: is missing; make one")
        assert error.count("\n") == 1


def test_env_example_is_what_the_command_prints(capsys):
    assert main(["env-example"]) == 0
    printed = capsys.readouterr().out
    assert (ROOT / ".env.example").read_text() == printed == render_env_example()
    for name in Settings.model_fields:
        assert f"\nSEARCH_API_{name.upper()}=" in printed
    assert "\nSEARCH_API_JWT_SECRET=\n" in printed
