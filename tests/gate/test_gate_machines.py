"""Machines, the edge and declarations, without a run of the gate."""

from __future__ import annotations

import datetime as dt
import http.server
import shutil
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from checks.gate import (
    CouldNotLook,
    DeclarationError,
    EdgeDown,
    EdgeSession,
    compliant_variant,
    item,
    sabotage,
)
from checks.gate.fleet import Fleet
from inventories.schema import load_inventory

if TYPE_CHECKING:
    from conftest import Bench

DOMAIN = "search.bench.internal"


@pytest.fixture
def fleet(bench: Bench) -> Iterator[Fleet]:
    with bench.in_environment():
        yield Fleet(load_inventory(bench.inventory))


def test_answers_are_remembered_until_forgotten(fleet: Fleet) -> None:
    machine = fleet.named("app1")
    count = "echo x >> runs; wc -l < runs"
    assert [machine.run(count).stdout.strip() for _ in range(3)] == ["1", "1", "1"]
    assert machine.run(count, cached=False).stdout.strip() == "2"
    machine.forget()
    assert machine.run(count).stdout.strip() == "3"


def test_a_sabotages_machine_remembers_nothing(fleet: Fleet) -> None:
    machine = fleet.target("app")
    assert machine.name == "app1"
    assert [machine.run("echo x >> r; wc -l < r").stdout.strip() for _ in range(2)] == ["1", "2"]


def test_a_failed_look_is_remembered_too(bench: Bench, fleet: Fleet) -> None:
    shutil.rmtree(bench.machines / "app1")
    for _ in range(2):
        with pytest.raises(CouldNotLook, match="ssh failed"):
            fleet.named("app1").run("true")
    assert len(bench.log()) == 1


def test_what_a_command_says_is_kept_apart(fleet: Fleet) -> None:
    seen = fleet.named("db1").run("echo out; echo err >&2; exit 3")
    assert (seen.stdout, seen.stderr, seen.rc, seen.ok) == ("out\n", "err\n", 3, False)
    assert fleet.named("db1").run("printf ' a\\n\\nb'").lines() == ["a", "b"]


def test_standard_input_carries_secrets_and_never_hangs(fleet: Fleet) -> None:
    machine = fleet.named("db1")
    assert machine.run("cat", stdin="secret").stdout == "secret"
    assert machine.run("cat").stdout == ""


def test_a_command_that_hangs_is_a_failed_look(fleet: Fleet) -> None:
    with pytest.raises(CouldNotLook, match=r"no answer within 0.3 s to: sleep 5"):
        fleet.named("db1").run("sleep 5", timeout_s=0.3)


def test_quotes_and_sudo_arrive_as_written(fleet: Fleet) -> None:
    seen = fleet.named("db1").run("""printf '%s|' "a b" 'c"d' '$HOME'""", sudo=True)
    assert seen.stdout == 'a b|c"d|$HOME|'


def test_a_missing_tool_may_be_an_observation(fleet: Fleet) -> None:
    assert fleet.named("db1").run("no-such-tool", missing_ok=True).rc == 127
    assert fleet.named("db1").run("command -v no-such-tool").rc != 0


def test_a_step_must_succeed(fleet: Fleet) -> None:
    assert fleet.named("db1").must("true").ok
    with pytest.raises(CouldNotLook, match="status 4 from: exit 4"):
        fleet.named("db1").must("exit 4")


def test_without_ssh_on_this_computer_nothing_was_looked_at(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CouldNotLook, match="ssh is not installed on this computer"):
        fleet.named("db1").run("true")


def test_machines_are_found_by_name_and_role(fleet: Fleet) -> None:
    assert fleet.names(("app", "db")) == ["app1", "app2", "db1"]
    assert len(fleet.names(("all",))) == 5
    assert fleet.target("cache1").name == "cache1"
    assert repr(fleet.named("lb1")) == "<machine lb1 127.1.0.1 lb>"
    for wrong in (fleet.named, fleet.target):
        with pytest.raises(CouldNotLook, match="no machine"):
            wrong("moon")


def certificate(directory: Path, name: str) -> Path:
    """A self-signed certificate of a name with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with the Host that it was asked for."""

    def do_GET(self) -> None:
        body = f"{self.headers['Host']} {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A TLS server for the domain on a loopback address: its port's URL and its certificate."""
    pem = certificate(tmp_path, DOMAIN)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    running.socket = context.wrap_socket(running.socket, server_side=True)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"https://{DOMAIN}:{running.server_port}", pem
    running.shutdown()
    running.server_close()
    thread.join(timeout=5)


def test_the_edge_is_reached_by_address_and_verified_by_name(server: tuple[str, Path]) -> None:
    url, pem = server
    edge = EdgeSession(url, "127.0.0.1", pem, lambda: True)
    assert edge.get("/health/live").text == f"{DOMAIN} /health/live"
    assert edge.get(f"{url}/x").status_code == 200


def test_a_certificate_of_another_name_or_issuer_is_a_failure(
    server: tuple[str, Path], tmp_path: Path
) -> None:
    url, pem = server
    port = url.rpartition(":")[2]
    with pytest.raises(EdgeDown, match="gave no answer"):
        EdgeSession(f"https://other.internal:{port}", "127.0.0.1", pem, lambda: True).get("/")
    with pytest.raises(EdgeDown):
        EdgeSession(url, "127.0.0.1", certificate(tmp_path, "stranger"), lambda: True).get("/")


def test_a_silent_edge_is_a_failure_when_its_machine_is_up_and_a_failed_look_when_not(tmp_path: Path) -> None:
    pem = certificate(tmp_path, DOMAIN)
    with pytest.raises(EdgeDown):
        EdgeSession(f"https://{DOMAIN}:1", "127.0.0.1", pem, lambda: True).get("/")
    with pytest.raises(CouldNotLook, match="is down"):
        EdgeSession(f"https://{DOMAIN}:1", "127.0.0.1", pem, lambda: False).get("/")


def test_the_fleets_edge_needs_its_ca(bench: Bench, fleet: Fleet) -> None:
    with pytest.raises(CouldNotLook, match="deploy first"):
        fleet.edge()
    ca = fleet.inventory.ca_file
    ca.parent.mkdir(parents=True)
    ca.write_bytes(certificate(bench.root, DOMAIN).read_bytes())
    with pytest.raises(EdgeDown):
        fleet.edge().get("/")
    shutil.rmtree(bench.machines / "lb1")
    with pytest.raises(CouldNotLook):
        fleet.edge().get("/")


def check_nothing() -> None: ...
def check_evidence(evidence: object) -> None: ...
def check_machine(machine: object, evidence: object) -> None: ...
def other(evidence: object) -> None: ...
def plain(machine: object) -> None: ...
def generator(machine: object) -> Iterator[None]:  # noqa: ARG001
    yield


@pytest.mark.parametrize(
    ("declare", "told"),
    [
        (lambda: item(on=None)(check_evidence), "needs at least one id"),
        (lambda: item("A", on=None)(check_nothing), "takes no `evidence`"),
        (lambda: item("A", on=())(check_machine), "names no machine"),
        (lambda: item("A", on=None)(other), "starts with check_"),
        (lambda: item("A", on=None)(check_machine), "says on=None"),
        (lambda: item("A", on="app")(check_evidence), "takes neither"),
        (lambda: sabotage("A", on="app")(plain), "must be a generator"),
        (lambda: sabotage("A", on=None)(generator), "says on=None"),
        (lambda: sabotage("A", on="app", expects="PASS")(generator), "use 'FAIL' or 'ERROR'"),
        (lambda: compliant_variant("A", on="app")(plain), "must be a generator"),
    ],
)
def test_a_wrong_declaration_is_refused(declare: object, told: str) -> None:
    with pytest.raises(DeclarationError, match=told):
        declare()  # type: ignore[operator]
