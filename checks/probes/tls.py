"""TLS as a client meets it: handshakes made from here and from any machine, with openssl's own client."""

from __future__ import annotations

import datetime as dt
import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from checks.gate import CouldNotLook, MachineUnderCheck

# Where every machine keeps the fleet's own CA.
INTERNAL_CA = "/etc/ssl/launchgate/ca.crt"
SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"
PATIENCE_S = 5
VERIFIED = 0
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_CIPHER = re.compile(r"^New, (?P<protocol>\S+), Cipher is (?P<cipher>\S+)$", re.MULTILINE)
_VERIFY = re.compile(r"Verify return code: (?P<code>\d+) \((?P<text>[^)]*)\)")
_ALPN = re.compile(r"^ALPN protocol: (?P<name>\S+)$", re.MULTILINE)
_NO_CONNECTION = re.compile(r"connect:errno=|BIO_connect|Connection refused")
_NO_TOOL = re.compile(r"openssl: (command )?not found|timeout: failed to run command")


@dataclass(frozen=True)
class Look:
    """A handshake to try: as whom to verify the server (`name`), with which CA, restricted how."""

    address: str
    port: int
    name: str
    ca_file: str = INTERNAL_CA
    starttls: str = ""
    protocol: str = ""  # "tls1", "tls1_1", "tls1_2", "tls1_3"; empty: whatever both like best
    ciphers: str = ""
    alpn: str = ""

    def command(self) -> str:
        """The shell command that tries it."""
        words = [
            "timeout", str(PATIENCE_S), "openssl", "s_client", "-connect", _joined(self.address, self.port),
            "-servername", self.name, "-verify_hostname", self.name, "-CAfile", self.ca_file, "-showcerts",
        ]  # fmt: skip
        if self.starttls:
            words += ["-starttls", self.starttls]
        if self.protocol:
            words.append(f"-{self.protocol}")
        if self.ciphers:
            words += ["-cipher", self.ciphers]
        if self.alpn:
            words += ["-alpn", self.alpn]
        return f"{shlex.join(words)} </dev/null 2>&1"

    def __str__(self) -> str:
        restricted = " ".join(one for one in (self.protocol, self.ciphers, self.starttls) if one)
        return f"TLS {_joined(self.address, self.port)} as {self.name} {restricted}".rstrip()


@dataclass(frozen=True)
class Handshake:
    """How it ended; `certificates` are what the server presented, its own first."""

    established: bool
    protocol: str
    cipher: str
    alpn: str
    verify_code: int
    verify_text: str
    certificates: tuple[x509.Certificate, ...] = field(default=(), repr=False)
    said: str = field(default="", repr=False)

    @property
    def verified(self) -> bool:
        """Whether chain and name hold."""
        return self.established and self.verify_code == VERIFIED

    def days_left(self, now: dt.datetime | None = None) -> float:
        """Days until the first of the presented certificates ends. Raises CouldNotLook when there is none."""
        if not self.certificates:
            raise CouldNotLook(f"the server presented no certificate: {self.told()}")
        end = min(one.not_valid_after_utc for one in self.certificates)
        return (end - (now or dt.datetime.now(dt.UTC))).total_seconds() / 86400

    def told(self) -> str:
        """One line for people."""
        if not self.established:
            return f"no handshake: {self.said}"
        return f"{self.protocol} {self.cipher}, verification: {self.verify_text}"


def from_here(looks: Sequence[Look]) -> list[Handshake]:
    """Tries each from this computer. Raises CouldNotLook when openssl is missing here."""
    done = subprocess.run(
        ["sh", "-c", _script(looks)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=PATIENCE_S * (len(looks) + 1),
    )
    return _split("this computer", done.stdout, looks)


def from_machine(machine: MachineUnderCheck, looks: Sequence[Look]) -> list[Handshake]:
    """Tries each from a machine, in one command. Raises CouldNotLook when openssl is missing there."""
    answer = machine.run(_script(looks), timeout_s=PATIENCE_S * (len(looks) + 1))
    return _split(machine.name, answer.stdout, looks)


def parse(text: str) -> Handshake:
    """What `openssl s_client` printed. Raises CouldNotLook when there is no openssl."""
    if _NO_TOOL.search(text):
        raise CouldNotLook(f"openssl cannot be run: {text.strip().splitlines()[-1]}")
    # A client that stumbles over its own arguments has not been refused by anybody.
    if text.strip() and "CONNECTED(" not in text and not _NO_CONNECTION.search(text):
        raise CouldNotLook(f"openssl did not try: {text.strip().splitlines()[0][:200]}")
    cipher = _CIPHER.search(text)
    verify = list(_VERIFY.finditer(text))
    alpn = _ALPN.search(text)
    established = cipher is not None and cipher["cipher"] != "(NONE)" and bool(verify)
    return Handshake(
        established=established,
        protocol=cipher["protocol"] if cipher and established else "",
        cipher=cipher["cipher"] if cipher and established else "",
        alpn=alpn["name"] if alpn else "",
        verify_code=int(verify[-1]["code"]) if verify else -1,
        verify_text=verify[-1]["text"] if verify else "none",
        certificates=tuple(
            x509.load_pem_x509_certificate(one.encode()) for one in _CERTIFICATE.findall(text)
        ),
        said=_complaint(text),
    )


def ca_on_machines(edge_certificate: Path | None) -> str:
    """Path on the machines of the CA that the edge's certificate must come from."""
    return INTERNAL_CA if edge_certificate is None else SYSTEM_CA


def _script(looks: Sequence[Look]) -> str:
    return (
        "; ".join(f"echo '=== {number} ==='; {look.command()}" for number, look in enumerate(looks))
        + "; true"
    )


def _split(where: str, text: str, looks: Sequence[Look]) -> list[Handshake]:
    parts = re.split(r"^=== \d+ ===$", text, flags=re.MULTILINE)[1:]
    if len(parts) != len(looks):
        raise CouldNotLook(f"{where}: {len(looks)} handshakes were tried, {len(parts)} answered")
    return [parse(part) for part in parts]


def _complaint(text: str) -> str:
    """The line in which openssl says why there is no connection."""
    for line in text.splitlines():
        if re.search(r"errno=|error:|alert|does not support|timed out|refused|Didn't find", line):
            return line.strip()[:200]
    return "no reason given"


def _joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
