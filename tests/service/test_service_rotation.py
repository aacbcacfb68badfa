# ruff: noqa: S608 (the tests' own ids in the tests' own statements)
"""A new encryption key, brought in while the service runs."""

import base64
import os

import pytest
from conftest import SEARCHER_PASSWORD, SECRETS, MakeSettings
from search_api import migrate, rotation
from search_api.cache import Cache
from search_api.cli import main
from search_api.owned_connections import state_of
from search_api.vault import UnreadableCredentialError, Vault
from service_client import Client
from service_processes import serving

NEW = "k2:" + base64.b64encode(bytes(range(100, 132))).decode()
OLD = SECRETS["encryption_keys"]
DATABASE = "search_api_rotation"


@pytest.fixture
def changed(make_settings: MakeSettings, mariadb):
    """Settings over a database of its own, by list of keys."""
    mariadb.run(f"DROP DATABASE IF EXISTS {DATABASE}", f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4")
    migrate.upgrade(make_settings(database_name=DATABASE))
    return lambda keys: make_settings(database_name=DATABASE, encryption_keys=keys)


def sealed(mariadb) -> dict[str, str]:
    rows = mariadb.run(
        f"SELECT id, sealed_password FROM {DATABASE}.database_connections WHERE sealed_password IS NOT NULL"
    )
    return {row["id"]: row["sealed_password"] for row in rows}


def serve(settings):
    from search_api.app import create_app

    return serving(create_app(settings))


def test_every_step_of_the_procedure_keeps_every_connection_usable(changed, shop, mariadb):
    """Old alone; new second; new first on one host while the other still has the old order; rotated; old gone."""
    with serve(changed(OLD)) as base:
        person = Client(base).register()
        first = person.database(shop)
    with serve(changed(f"{OLD},{NEW}")) as slow_host, serve(changed(f"{NEW},{OLD}")) as host:
        for each in (slow_host, host):
            assert Client(each).data("POST", f"/api/v1/databases/{first}/test", person.token)["connected"]
        second = Client(host).data("POST", "/api/v1/databases", person.token, json=shop, status=201)["id"]
        assert Client(slow_host).data("POST", f"/api/v1/databases/{second}/test", person.token)["connected"]
        cache = Cache(changed(NEW))
        connections = state_of(cache, person.id)
        done = rotation.rotate_encryption_key(changed(f"{NEW},{OLD}"), lambda _count: None)
        assert (done.key_id, done.rotated, done.unreadable) == ("k2", 1, [])
        assert connections not in ("", state_of(cache, person.id)), (
            "no worker goes on with the old credential"
        )
        for each in (slow_host, host):
            for row in (first, second):
                assert Client(each).data("POST", f"/api/v1/databases/{row}/test", person.token)["connected"]
        # A host with the old order still writes under the old key: the next run takes that too.
        third = Client(slow_host).data("POST", "/api/v1/databases", person.token, json=shop, status=201)["id"]
        assert sealed(mariadb)[third].startswith("k1:")
        assert rotation.rotate_encryption_key(changed(f"{NEW},{OLD}"), lambda _count: None).rotated == 1
    assert {text.partition(":")[0] for text in sealed(mariadb).values()} == {"k2"}
    with serve(changed(NEW)) as base:
        for row in (first, second, third):
            assert Client(base).data("POST", f"/api/v1/databases/{row}/test", person.token)["connected"]


def fill(mariadb, count: int) -> dict[str, str]:
    """Users without a service in front: their rows, sealed under the old key, with a password each."""
    vault = Vault(OLD)
    owner = "0198c0de-0000-7000-8000-000000000001"
    moment = "'2026-01-01'"
    statements = [
        f"INSERT INTO {DATABASE}.users (id, email, name, password_hash, role, token_version, is_active, created_at,"
        f" last_active) VALUES ('{owner}', 'o@example.com', 'O', '', 'user', 1, 1, {moment}, {moment})"
    ]
    passwords = {}
    for number in range(count):
        row = f"0198c0de-0000-7000-8000-{number:012d}"
        passwords[row] = f"password number {number}"
        text = vault.encrypt(passwords[row], owner=owner, row=row)
        statements.append(
            f"INSERT INTO {DATABASE}.database_connections (id, user_id, name, host, port, database_name, username,"
            f" sealed_password, use_tls, is_active, created_at, updated_at) VALUES ('{row}', '{owner}', 'n', 'h', 1,"
            f" 'd', 'u', '{text}', 0, 1, {moment}, {moment})"
        )
    mariadb.run(*statements)
    return passwords


def opened(mariadb, vault: Vault) -> dict[str, str]:
    rows = mariadb.run(
        f"SELECT id, user_id, sealed_password, updated_at FROM {DATABASE}.database_connections"
    )
    assert {str(row["updated_at"]) for row in rows} == {"2026-01-01 00:00:00"}, "pools and caches must stay"
    return {
        row["id"]: vault.decrypt(row["sealed_password"], owner=row["user_id"], row=row["id"]) for row in rows
    }


def test_a_run_that_is_broken_off_is_run_again(changed, mariadb):
    passwords = fill(mariadb, 250)
    settings = changed(f"{NEW},{OLD}")

    def break_off(count: int) -> None:
        if count >= 200:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotation.rotate_encryption_key(settings, break_off)
    under = [text.partition(":")[0] for text in sealed(mariadb).values()]
    assert (under.count("k2"), under.count("k1")) == (200, 50)
    assert rotation.rotate_encryption_key(settings, lambda _count: None).rotated == 50
    assert opened(mariadb, Vault(NEW)) == passwords
    assert rotation.rotate_encryption_key(settings, lambda _count: None).rotated == 0


def test_what_does_not_decrypt_is_named_left_and_exit_code_1(changed, mariadb, monkeypatch, capsys):
    fill(mariadb, 3)
    spoilt = "0198c0de-0000-7000-8000-000000000001"
    mariadb.run(
        f"UPDATE {DATABASE}.database_connections SET sealed_password = 'k1:AAAA' WHERE id = '{spoilt}'"
    )
    settings = changed(f"{NEW},{OLD}")
    for name in os.environ:
        if name.startswith("SEARCH_API_"):
            monkeypatch.delenv(name)
    for name, value in (SECRETS | {"encryption_keys": f"{NEW},{OLD}", "database_name": DATABASE}).items():
        monkeypatch.setenv(f"SEARCH_API_{name.upper()}", value)
    monkeypatch.setenv("SEARCH_API_ENVIRONMENT", "test")
    monkeypatch.setenv("SEARCH_API_DATABASE_PORT", str(settings.database_port))
    monkeypatch.setenv("SEARCH_API_REDIS_PORT", str(settings.redis_port))
    monkeypatch.setenv("SEARCH_API_PASSWORD_MEMORY_KIB", "1024")
    assert main(["rotate-encryption-key"]) == 1
    printed = capsys.readouterr()
    assert "key k2: 2 re-encrypted, 1 do not decrypt" in printed.out
    assert f"connection {spoilt}: its credential does not decrypt and was left as it is" in printed.err
    assert sealed(mariadb)[spoilt] == "k1:AAAA"
    for secret in (OLD, NEW, SEARCHER_PASSWORD, "password number"):
        assert secret not in printed.out + printed.err
    mariadb.run(f"DELETE FROM {DATABASE}.database_connections WHERE id = '{spoilt}'")
    assert main(["rotate-encryption-key"]) == 0


def test_the_old_key_alone_opens_nothing_afterwards(changed, mariadb):
    fill(mariadb, 1)
    rotation.rotate_encryption_key(changed(f"{NEW},{OLD}"), lambda _count: None)
    with pytest.raises(UnreadableCredentialError, match="'k2' is not among"):
        opened(mariadb, Vault(OLD))
