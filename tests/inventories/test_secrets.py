"""Secrets are made once, belong to one reader, and are missed by name."""

import dataclasses
import multiprocessing
from pathlib import Path

import pytest
from search_api.secret_strength import encryption_keys_fault, password_fault, random_secret_fault

from inventories.schema import Inventory, InventoryError
from inventories.secrets import SECRETS, read_secret, read_secrets


def test_the_sandbox_makes_its_secrets_once_and_for_its_owner_only(fleet: Inventory) -> None:
    first = read_secrets(fleet)
    assert read_secrets(fleet) == first
    assert len(set(first.values())) == len(SECRETS)
    for name in SECRETS:
        assert (fleet.state_dir / "secrets" / name).stat().st_mode & 0o777 == 0o600


def test_what_the_sandbox_makes_is_strong_enough_for_the_service(fleet: Inventory) -> None:
    made = read_secrets(fleet)
    assert not encryption_keys_fault(made["encryption_keys"])
    for name in ("jwt_secret", "api_key_pepper"):
        assert not random_secret_fault(made[name])
    for name in ("database_password", "migrate_database_password", "redis_password"):
        assert not password_fault(made[name])


def test_two_runs_at_once_agree_on_one_secret(fleet: Inventory) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        answers = pool.starmap(read_secret, [(fleet, "jwt_secret")] * 8)
    assert len(set(answers)) == 1


def with_directory(fleet: Inventory, folder: Path) -> Inventory:
    settings = fleet.settings.model_copy(update={"secrets_source": "directory", "secrets_dir": folder})
    return dataclasses.replace(fleet, settings=settings)


def test_every_missing_file_is_named_in_one_error(fleet: Inventory, tmp_path: Path) -> None:
    elsewhere = with_directory(fleet, tmp_path)
    (tmp_path / "jwt_secret").write_text("something\n")
    (tmp_path / "jwt_secret").chmod(0o600)
    assert read_secret(elsewhere, "jwt_secret") == "something"
    with pytest.raises(InventoryError) as error:
        read_secrets(elsewhere)
    for name in set(SECRETS) - {"jwt_secret"}:
        assert str(tmp_path / name) in str(error.value)


def test_a_secret_that_others_can_read_or_that_is_empty_is_refused(fleet: Inventory, tmp_path: Path) -> None:
    elsewhere = with_directory(fleet, tmp_path)
    file = tmp_path / "redis_password"
    file.write_text("x\n")
    file.chmod(0o640)
    with pytest.raises(InventoryError, match="readable by others"):
        read_secret(elsewhere, "redis_password")
    file.chmod(0o600)
    file.write_text("\n")
    with pytest.raises(InventoryError, match="is empty"):
        read_secret(elsewhere, "redis_password")


def test_the_key_of_an_ai_is_needed_where_there_is_an_ai(fleet: Inventory) -> None:
    assert "ai_api_key" in read_secrets(fleet)
    without = dataclasses.replace(fleet, settings=fleet.settings.model_copy(update={"ai_base_url": None}))
    assert "ai_api_key" not in read_secrets(without)


def test_the_environment_is_a_source(fleet: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = fleet.settings.model_copy(update={"secrets_source": "environment"})
    elsewhere = dataclasses.replace(fleet, settings=settings)
    monkeypatch.setenv("LAUNCHGATE_SECRET_REDIS_PASSWORD", "from outside\n")
    assert read_secret(elsewhere, "redis_password") == "from outside"
    monkeypatch.delenv("LAUNCHGATE_SECRET_REDIS_PASSWORD")
    with pytest.raises(InventoryError, match="LAUNCHGATE_SECRET_REDIS_PASSWORD"):
        read_secret(elsewhere, "redis_password")


def test_an_unknown_secret_is_an_error(fleet: Inventory) -> None:
    with pytest.raises(InventoryError, match="unknown secret 'root_password'"):
        read_secret(fleet, "root_password")
