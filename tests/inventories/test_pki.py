"""Certificates verify for the names that clients use, are kept while they are good, and replaced in time."""

import dataclasses
import datetime
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from inventories import pki
from inventories.schema import Inventory, InventoryError


def verified(fleet: Inventory, pem: str, *options: str) -> bool:
    """OpenSSL's own judgement."""
    file = fleet.state_dir / "look.pem"
    file.write_text(pem)
    command = [
        "openssl",
        "verify",
        "-x509_strict",
        "-CAfile",
        str(fleet.internal_ca_file),
        *options,
        str(file),
    ]
    return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0


def test_a_machine_is_verified_by_name_address_and_role(fleet: Inventory) -> None:
    machine = fleet.role("app")[0]
    pair = pki.machine_certificate(fleet, machine)
    assert verified(fleet, pair.certificate, "-verify_hostname", machine.name)
    assert verified(fleet, pair.certificate, "-verify_ip", machine.address)
    assert verified(fleet, pair.certificate, "-verify_hostname", f"app.{fleet.settings.domain}")
    assert not verified(fleet, pair.certificate, "-verify_hostname", fleet.settings.domain)
    assert not verified(fleet, pair.certificate, "-verify_hostname", fleet.role("db")[0].name)


def test_key_and_certificate_belong_together(fleet: Inventory, tmp_path: Path) -> None:
    pair = pki.edge_certificate(fleet)
    (tmp_path / "chain.pem").write_text(pair.certificate)
    (tmp_path / "key.pem").write_text(pair.key)
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
        tmp_path / "chain.pem", tmp_path / "key.pem"
    )
    assert verified(fleet, pair.certificate, "-verify_hostname", fleet.settings.domain)


def test_a_good_certificate_is_kept_and_one_near_its_end_is_replaced(
    fleet: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = fleet.machines[0]
    monkeypatch.setattr(pki, "CERTIFICATE_DAYS", pki.RENEW_DAYS - 1)
    old = pki.machine_certificate(fleet, machine)
    monkeypatch.undo()
    new = pki.machine_certificate(fleet, machine)
    assert new != old
    assert pki.machine_certificate(fleet, machine) == new
    left = x509.load_pem_x509_certificate(
        new.certificate.encode()
    ).not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(days=390) < left <= datetime.timedelta(days=397)


def test_a_machine_that_moved_gets_a_new_certificate(fleet: Inventory) -> None:
    machine = fleet.machines[0]
    old = pki.machine_certificate(fleet, machine)
    moved = dataclasses.replace(machine, address="192.0.2.99")
    new = pki.machine_certificate(fleet, moved)
    assert new != old
    assert verified(fleet, new.certificate, "-verify_ip", "192.0.2.99")


def test_a_damaged_or_foreign_certificate_is_replaced(fleet: Inventory) -> None:
    machine = fleet.machines[0]
    first = pki.machine_certificate(fleet, machine)
    file = fleet.state_dir / "pki" / f"{machine.name}.pem"
    file.write_text("not a certificate")
    second = pki.machine_certificate(fleet, machine)
    assert second != first
    (fleet.state_dir / "pki" / "ca.crt").unlink()
    (fleet.state_dir / "pki" / "ca.key").unlink()
    third = pki.machine_certificate(fleet, machine)
    assert third != second
    assert verified(fleet, third.certificate)


def test_a_run_killed_between_key_and_certificate_goes_on_with_the_same_key(fleet: Inventory) -> None:
    pki.authority(fleet)
    key = (fleet.state_dir / "pki" / "ca.key").read_text()
    (fleet.state_dir / "pki" / "ca.crt").unlink()
    pki.authority(fleet)
    assert (fleet.state_dir / "pki" / "ca.key").read_text() == key


def test_private_keys_are_for_their_owner_only(fleet: Inventory) -> None:
    pki.machine_certificate(fleet, fleet.machines[0])
    for file in ("ca.key", f"{fleet.machines[0].name}.pem"):
        assert (fleet.state_dir / "pki" / file).stat().st_mode & 0o777 == 0o600
    assert "key" not in repr(pki.machine_certificate(fleet, fleet.machines[0])).lower().replace("keypair", "")


def test_the_edges_own_certificate_is_taken_from_where_the_inventory_says(
    fleet: Inventory, tmp_path: Path
) -> None:
    settings = fleet.settings.model_copy(
        update={"edge_certificate": tmp_path / "edge.pem", "edge_certificate_key": tmp_path / "edge.key"}
    )
    own = dataclasses.replace(fleet, settings=settings)
    with pytest.raises(InventoryError, match=r"edge\.pem: cannot be read"):
        pki.edge_certificate(own)
    (tmp_path / "edge.pem").write_text("chain")
    (tmp_path / "edge.key").write_text("key")
    assert pki.edge_certificate(own) == pki.KeyPair("chain", "key")
