"""The fleet's own certificate authority, on the controller, and one certificate a machine, renewed in time."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from inventories.schema import Inventory, InventoryError, Machine
from inventories.secrets import only_one, write_private

CA_DAYS = 3650
CERTIFICATE_DAYS = 397  # the most that browsers accept
RENEW_DAYS = 30


@dataclass(frozen=True)
class KeyPair:
    """A certificate (chain) and its private key, both PEM."""

    certificate: str
    key: str = field(repr=False)


def authority(inventory: Inventory) -> str:
    """The internal CA's certificate (PEM), made on first use."""
    return _authority(inventory)[0]


def machine_certificate(inventory: Inventory, machine: Machine) -> KeyPair:
    """The machine's certificate from the internal CA, renewed 30 days ahead.

    It is for the machine's name, its address, and for each of its roles ROLE.DOMAIN, so that a client that talks
    to any machine of a role can verify it by one name.
    """
    roles = [f"{role}.{inventory.settings.domain}" for role in machine.roles]
    return _issued(inventory, machine.name, [machine.name, *roles], [machine.address])


def edge_certificate(inventory: Inventory) -> KeyPair:
    """The public certificate: from the files that the inventory names, or from the internal CA.

    Raises InventoryError when a named file cannot be read.
    """
    settings = inventory.settings
    if settings.edge_certificate is None or settings.edge_certificate_key is None:
        return _issued(inventory, "edge", [settings.domain], [])
    try:
        return KeyPair(settings.edge_certificate.read_text(), settings.edge_certificate_key.read_text())
    except OSError as error:
        raise InventoryError(
            str(error.filename),
            f"cannot be read ({error.strerror})",
            "put the edge's certificate and key there",
        ) from None


def _authority(inventory: Inventory) -> tuple[str, ec.EllipticCurvePrivateKey]:
    folder = inventory.state_dir / "pki"
    with only_one(inventory.state_dir):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key_file, certificate_file = folder / "ca.key", folder / "ca.crt"
        # The key comes first: a run killed between the two finds the key and signs with it again.
        if not key_file.is_file():
            write_private(key_file, _pem(ec.generate_private_key(ec.SECP384R1())))
        key = _load_key(key_file)
        if not certificate_file.is_file():
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{inventory.name} internal CA")])
            builder = _builder(name, name, key.public_key(), CA_DAYS)
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
            certificate = builder.sign(key, hashes.SHA384())
            write_private(certificate_file, certificate.public_bytes(serialization.Encoding.PEM).decode())
            certificate_file.chmod(0o644)
    return certificate_file.read_text(), key


def _issued(inventory: Inventory, stem: str, names: Sequence[str], addresses: Sequence[str]) -> KeyPair:
    ca_text, ca_key = _authority(inventory)
    ca = x509.load_pem_x509_certificate(ca_text.encode())
    folder = inventory.state_dir / "pki"
    file = folder / f"{stem}.pem"  # key and certificate together: they can never disagree
    with only_one(inventory.state_dir):
        if not _still_good(file, ca, names, addresses):
            key = ec.generate_private_key(ec.SECP256R1())
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
            alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
            alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
            builder = _builder(subject, ca.subject, key.public_key(), CERTIFICATE_DAYS)
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
            purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
            builder = builder.add_extension(authority_id, critical=False)
            certificate = builder.sign(ca_key, hashes.SHA384())
            write_private(file, _pem(key) + certificate.public_bytes(serialization.Encoding.PEM).decode())
    key_text, marker, certificate_text = file.read_text().partition("-----BEGIN CERTIFICATE-----")
    return KeyPair(certificate=marker + certificate_text, key=key_text)


def _still_good(file: Path, ca: x509.Certificate, names: Sequence[str], addresses: Sequence[str]) -> bool:
    """Whether the certificate is there, ours, for these names, and good for 30 days more."""
    if not file.is_file():
        return False
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        certificate.verify_directly_issued_by(ca)
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, x509.ExtensionNotFound, InvalidSignature):
        return False
    held = set(alternatives.get_values_for_type(x509.DNSName))
    held |= {str(address) for address in alternatives.get_values_for_type(x509.IPAddress)}
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return held == {*names, *addresses} and left > datetime.timedelta(days=RENEW_DAYS)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(hours=1))  # clocks differ a little
    builder = builder.not_valid_after(now + datetime.timedelta(days=days))
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _load_key(file: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InventoryError(str(file), "is no elliptic curve key", "restore the CA's key from its backup")
    return key
