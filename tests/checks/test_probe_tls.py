"""What openssl's client prints, read as a handshake."""

import datetime as dt
from pathlib import Path

import pytest

from checks.gate import CouldNotLook
from checks.probes.tls import INTERNAL_CA, SYSTEM_CA, Look, ca_on_machines, parse

CAPTURED = Path(__file__).parent / "captured"


def test_a_verified_handshake_with_a_database() -> None:
    seen = parse((CAPTURED / "db1.s_client.txt").read_text())
    assert (seen.verified, seen.protocol, seen.cipher) == (True, "TLSv1.3", "TLS_AES_256_GCM_SHA384")
    end = seen.certificates[0].not_valid_after_utc
    assert seen.days_left(end - dt.timedelta(days=3)) == pytest.approx(3)
    assert "ok" in seen.told()


def test_a_certificate_for_another_name_is_not_verified() -> None:
    seen = parse((CAPTURED / "cache1.wrong-name.s_client.txt").read_text())
    assert seen.established
    assert not seen.verified
    assert "hostname mismatch" in seen.told().lower()


def test_a_refused_protocol_is_no_handshake() -> None:
    seen = parse((CAPTURED / "lb1.tls1_1.s_client.txt").read_text())
    assert not seen.established
    assert not seen.verified
    assert "protocol version" in seen.told()
    with pytest.raises(CouldNotLook, match="no certificate"):
        seen.days_left()


def test_nobody_listening_is_no_handshake() -> None:
    seen = parse("connect:errno=111\n")
    assert (seen.established, seen.told()) == (False, "no handshake: connect:errno=111")


def test_a_missing_tool_is_never_a_refusal() -> None:
    with pytest.raises(CouldNotLook, match="openssl"):
        parse("sh: 1: openssl: not found")


def test_a_client_that_fails_by_itself_was_not_refused() -> None:
    with pytest.raises(CouldNotLook, match="did not try"):
        parse("Could not open file or uri for loading certs from /no/such/ca.crt\n")


def test_silence_is_no_handshake() -> None:
    assert not parse("").established


def test_the_command_restricts_and_verifies() -> None:
    command = Look(
        "fd00::1", 443, "a.example", starttls="mysql", protocol="tls1_2", ciphers="A:B", alpn="h2"
    ).command()
    for part in (
        "[fd00::1]:443",
        "-verify_hostname a.example",
        "-starttls mysql",
        "-tls1_2",
        "-cipher A:B",
        "-alpn h2",
    ):
        assert part in command


def test_the_edge_is_verified_with_the_authority_that_signed_it() -> None:
    assert (ca_on_machines(None), ca_on_machines(Path("/x.pem"))) == (INTERNAL_CA, SYSTEM_CA)
