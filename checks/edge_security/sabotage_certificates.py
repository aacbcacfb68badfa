"""Certificates that verify today, or somewhere else."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from checks.breaks import sql
from checks.breaks.edge import RELOAD
from checks.breaks.files import edited, with_mode
from checks.gate import MachineUnderCheck, compliant_variant, sabotage
from inventories.schema import Inventory

EDGE = "/etc/ssl/launchgate/edge.crt"
MACHINE = "/etc/ssl/launchgate/machine.crt"
REDIS_KEY = "/etc/ssl/launchgate/redis.key"


@sabotage("PRE-ENV-6", on="lb", near_miss=True, reason="days left")
def the_edges_certificate_ends_in_three_days(
    machine: MachineUnderCheck, inventory: Inventory
) -> Iterator[None]:
    """Right authority, right name, valid: nobody notices before the weekend."""
    certificate = issued(machine, EDGE, inventory, [inventory.settings.domain], days=3)
    try:
        with edited(machine, EDGE, _writing(certificate), shows=certificate.splitlines()[5]):
            machine.must(RELOAD, sudo=True)
            yield
    finally:
        machine.must(RELOAD, sudo=True)


@sabotage("PRE-ENV-6", on="db2", also_red=("HARD-NET-4",), reason="hostname mismatch|Hostname mismatch")
def a_database_presents_its_neighbours_name(
    machine: MachineUnderCheck, inventory: Inventory
) -> Iterator[None]:
    """The certificate is ours and fresh, and made for another machine."""
    certificate = issued(machine, MACHINE, inventory, ["db9"], days=300)
    yield from _presented_by_database(machine, certificate)


@sabotage("PRE-ENV-6", on="cache", near_miss=True, reason="others than their owner")
def a_private_key_can_be_read_by_all(machine: MachineUnderCheck) -> Iterator[None]:
    """The certificate is perfect, and so is everybody's copy of its key."""
    with with_mode(machine, REDIS_KEY, "444"):
        yield


@compliant_variant("PRE-ENV-6", on="db2")
def a_certificate_has_more_names(machine: MachineUnderCheck, inventory: Inventory) -> Iterator[None]:
    """A name more than needed, and a shorter life than usual, are no fault."""
    certificate = issued(machine, MACHINE, inventory, [machine.name, f"{machine.name}.internal"], days=60)
    yield from _presented_by_database(machine, certificate)


def issued(
    machine: MachineUnderCheck, path: str, inventory: Inventory, names: list[str], *, days: int
) -> str:
    """A certificate of the fleet's own authority for the key whose certificate is at `path` now."""
    now = dt.datetime.now(dt.UTC)
    old = x509.load_pem_x509_certificate(machine.must(f"cat {path}", sudo=True).stdout.encode())
    authority = x509.load_pem_x509_certificate(inventory.internal_ca_file.read_bytes())
    key = serialization.load_pem_private_key(
        inventory.internal_ca_file.with_suffix(".key").read_bytes(), password=None
    )
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    public = old.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]))
        .issuer_name(authority.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, hashes.SHA384())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _presented_by_database(machine: MachineUnderCheck, certificate: str) -> Iterator[None]:
    # Only the running server's memory changes hands: MySQL says it otherwise than MariaDB.
    reload = "FLUSH SSL" if "mariadb" in _version(machine) else "ALTER INSTANCE RELOAD TLS"
    try:
        with edited(machine, MACHINE, _writing(certificate), shows=certificate.splitlines()[5]):
            sql.run(machine, reload, "mysql")
            yield
    finally:
        sql.run(machine, reload, "mysql")


def _version(machine: MachineUnderCheck) -> str:
    return sql.run(machine, "SELECT VERSION()", "mysql")[0][0].lower()


def _writing(certificate: str) -> str:
    return f"cat >$f <<'END'\n{certificate}END\n"
