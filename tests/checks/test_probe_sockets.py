"""Sockets as `ss` prints them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.gate import CouldNotLook
from checks.probes.sockets import Listener, parse

CAPTURED = Path(__file__).parent / "captured"


def test_a_real_listing_is_read_whole() -> None:
    found = parse((CAPTURED / "ops1.ss.txt").read_text())
    assert [(one.address, one.port, one.process, one.local_only) for one in found] == [
        ("10.222.203.51", 9100, "prometheus-node", False),
        ("127.0.0.1", 9090, "prometheus", True),
        ("0.0.0.0", 22, "sshd", False),  # noqa: S104
        ("::", 22, "sshd", False),
    ]


@pytest.mark.parametrize(
    ("printed", "address", "everywhere"),
    [
        ("*:80", "*", True),
        ("[::]:80", "::", True),
        ("0.0.0.0:80", "0.0.0.0", True),  # noqa: S104
        ("127.0.0.53%lo:53", "127.0.0.53", False),
        ("[fe80::1]%host0:546", "fe80::1", False),
        ("[::1]:631", "::1", False),
    ],
)
def test_every_form_of_an_address_is_known(printed: str, address: str, everywhere: bool) -> None:
    (found,) = parse(f"tcp LISTEN 0 128 {printed} 0.0.0.0:*")
    assert (found.address, found.everywhere, found.process) == (address, everywhere, "?")


def test_udp_counts_too() -> None:
    (found,) = parse('udp UNCONN 0 0 0.0.0.0:68 0.0.0.0:* users:(("dhclient",pid=7,fd=9))')
    assert found == Listener("udp", "0.0.0.0", 68, "dhclient")  # noqa: S104


def test_an_unknown_line_is_not_passed_over() -> None:
    with pytest.raises(CouldNotLook, match="unknown shape"):
        parse("sctp LISTEN 0 1 0.0.0.0:1 0.0.0.0:*")


@given(st.ip_addresses(), st.integers(1, 65535))
def test_what_is_bound_to_loopback_is_never_open_to_others(address: object, port: int) -> None:
    text = f"[{address}]" if ":" in str(address) else str(address)
    (found,) = parse(f"tcp LISTEN 0 1 {text}:{port} *:*")
    assert found.port == port
    assert found.local_only == str(address).startswith("127.") or str(address) == "::1"
