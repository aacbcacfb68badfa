"""A fleet's own stand-in for OpenAI: a process on this computer that listens on the fleet's gateway address, over TLS.

The service takes the sandbox for production and refuses to send users' texts in the clear, so the stand-in has a
certificate, signed by itself. What loads the model is the first text that is embedded, not the start.
"""

import datetime
import ipaddress
import json
import secrets
import socket
import ssl
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.sandbox.openai_standin.api import CHAT_MODEL
from infra.sandbox.openai_standin.embedding import Sentences
from infra.sandbox.processes import Running, keep_when_it_answers, spawn

PORT = 3143
_DAYS, _RENEW_DAYS = 397, 30


@dataclass(frozen=True)
class StandIn:
    """What fleet.json says of it. The keys themselves are in files that only their owner can read.

    Attributes:
        url: base URL of the API.
        model, embedding_model, dimensions: what it offers.
        ca_file: its certificate, by which clients verify it.
        admin_token_file: what may switch faults (POST /_faults) and read the calls (GET /_calls).
    """

    url: str
    model: str
    embedding_model: str
    dimensions: int
    ca_file: str
    admin_token_file: str

    def described(self) -> dict[str, object]:
        """For fleet.json."""
        return asdict(self)


def record_of(fleet: Path) -> Path:
    """Where it is remembered that the process runs."""
    return fleet / "openai.json"


def open_on(address: str, fleet: Path) -> StandIn:
    """Start the stand-in on a fleet's gateway address unless it runs there.

    Raises:
        SandboxError: it does not answer within 10 seconds.
    """
    folder = fleet / "openai"
    tokens = _ensure_tokens(folder, fleet / "secrets")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    renewed = _ensure_certificate(certificate, key, address)
    record = record_of(fleet)
    running = Running.read(record)
    if renewed or not (running and running.alive() and running.note == address):
        end(fleet)
        command = [
            *(sys.executable, "-m", "infra.sandbox.openai_standin", "--listen", f"{address}:{PORT}"),
            *("--tokens", str(tokens), "--certificate", str(certificate), "--key", str(key)),
        ]
        running = spawn(command, log=folder / "log", note=address)
        keep_when_it_answers(running, lambda: _shake_hands(address, certificate), record, "OpenAI's stand-in")
    return StandIn(
        url=f"https://{address}:{PORT}/v1",
        model=CHAT_MODEL,
        embedding_model=Sentences.model,
        dimensions=Sentences.dimensions,
        ca_file=str(certificate),
        admin_token_file=str(folder / "admin_token"),
    )


def end(fleet: Path) -> None:
    """End it, if it runs."""
    record = record_of(fleet)
    running = Running.read(record)
    if running:
        running.end()
    record.unlink(missing_ok=True)


def state(fleet: Path) -> str:
    """`running` or `down`."""
    running = Running.read(record_of(fleet))
    return "running" if running and running.alive() else "down"


def _shake_hands(address: str, certificate: Path) -> None:
    """More than a connection: one that has just been ended may still listen for a moment, but answers nobody."""
    context = ssl.create_default_context(cafile=str(certificate))
    with socket.create_connection((address, PORT), timeout=1) as plain:
        context.wrap_socket(plain, server_hostname=address).close()


def _ensure_tokens(folder: Path, fleet_secrets: Path) -> Path:
    """The service's key lies among the fleet's secrets, where its deploy reads it; the other opens the admin paths."""
    for private in (folder, fleet_secrets):
        private.mkdir(parents=True, exist_ok=True, mode=0o700)
    values = {}
    for name, path in (("api_key", fleet_secrets / "ai_api_key"), ("admin", folder / "admin_token")):
        if not path.is_file():
            _write(path, secrets.token_urlsafe(32) + "\n")
        values[name] = path.read_text().strip()
    _write(folder / "tokens.json", json.dumps(values))
    return folder / "tokens.json"


def _ensure_certificate(certificate: Path, key_file: Path, address: str) -> bool:
    """A certificate for the address; whether it had to be made anew."""
    now = datetime.datetime.now(datetime.UTC)
    wanted = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    if certificate.is_file() and key_file.is_file():
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if names == wanted and found.not_valid_after_utc - now > datetime.timedelta(days=_RENEW_DAYS):
            return False
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "launchgate sandbox openai")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(wanted, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    _write(key_file, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain).decode())
    _write(certificate, made.public_bytes(pem).decode())
    return True


def _write(path: Path, text: str) -> None:
    """In one step, for the owner only."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(path)
