# ruff: noqa: S104 (addresses to refuse)
"""Where the service dials, and what a server there can do to it: nothing."""

import resource
import socket
import time
from ipaddress import ip_address, ip_network

import hostile_server as evil
import pytest
from conftest import ServeApp
from search_api.customer import outbound
from search_api.customer.connect import CannotConnectError, Connector, Target
from search_api.customer.outbound import checked_addresses, is_allowed
from search_api.errors import ApiError

SPELLINGS = [
    "127.0.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "127.1", "127.000.000.001",
    "0", "0.0.0.0", "::", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::ffff:7f00:1", "64:ff9b::7f00:1",
    "64:ff9b::169.254.169.254", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "::127.0.0.1",
    "169.254.169.254", "2852039166", "0xa9fea9fe", "fe80::1", "fd00:ec2::254", "10.0.0.1", "172.16.0.1", "192.168.0.1",
    "100.64.0.1", "localhost", "LOCALHOST.", "2001:0:53aa:64c:0:fbff:80ff:fffe", "ff02::1", "224.0.0.1",
]  # fmt: skip


@pytest.fixture(scope="module")
def strict(serve: ServeApp, client):
    """The service as it is delivered: no private network is allowed."""
    del client
    with serve(customer_allowed_networks="") as served:
        yield served


@pytest.mark.parametrize("host", SPELLINGS)
def test_no_spelling_of_a_private_address_is_dialled(strict, shop, host):
    person = strict.register()
    answer = strict.call("POST", "/api/v1/databases", person.token, json=shop | {"host": host})
    seen = (answer.status_code, answer.json()["error"]["code"])
    # What this machine's resolver does not take for an address at all is a name that nobody has.
    assert seen in {(403, "HOST_NOT_ALLOWED"), (502, "CONNECTION_ERROR")}, host
    if seen[0] == 502:
        assert "does not resolve" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "host",
    [
        "fe80::1%lo",
        "fe80::1%25lo",
        "[::1]",
        "127.0.0.1\n",
        "user@127.0.0.1",
        "a/b",
        "\uff11\uff12\uff17.0.0.1",
    ],
)
def test_what_is_no_host_is_not_valid(strict, shop, host):
    person = strict.register()
    fault = strict.fault("POST", "/api/v1/databases", person.token, json=shop | {"host": host})
    assert fault == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    "address",
    [
        "64:ff9b::7f00:1",
        "64:ff9b:1::a00:1",
        "2002:a00:1::1",
        "::ffff:10.0.0.1",
        "::10.0.0.1",
        "2001:0:53aa:64c:0:fbff:f5ff:fffe",
    ],
)
def test_an_ipv4_address_inside_an_ipv6_one_is_judged_as_itself(address):
    assert not is_allowed(ip_address(address), ())
    assert not is_allowed(ip_address(address), (ip_network("192.168.0.0/16"),))


def test_a_link_local_address_with_its_scope_is_refused(monkeypatch):
    found = [(socket.AF_INET6, 1, 6, "", ("fe80::1%eth0", 3306, 0, 2))]
    monkeypatch.setattr(outbound.socket, "getaddrinfo", lambda *_a, **_k: found)
    with pytest.raises(ApiError) as caught:
        checked_addresses("scoped.example.com", 3306, ())
    assert caught.value.code == "HOST_NOT_ALLOWED"


def test_a_name_that_changes_its_answer_is_asked_once_and_dialled_as_checked(strict, shop, monkeypatch):
    """A resolver that first gives an address that may be dialled, then the metadata service's."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host, port, *rest, **options):
        if host != "rebinds.example.com":
            return real(host, port, *rest, **options)
        asked.append(host)
        address = "93.184.215.14" if len(asked) == 1 else "169.254.169.254"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    dialled: list[str] = []

    def dial(address, **_options):
        dialled.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(outbound.socket, "getaddrinfo", rebinding)
    person = strict.register()
    monkeypatch.setattr("search_api.customer.connect.socket.create_connection", dial)
    body = shop | {"host": "rebinds.example.com"}
    assert strict.fault("POST", "/api/v1/databases", person.token, json=body) == (502, "CONNECTION_ERROR")
    assert (asked, dialled) == (["rebinds.example.com"], ["93.184.215.14"])
    assert strict.fault("POST", "/api/v1/databases", person.token, json=body) == (403, "HOST_NOT_ALLOWED")
    assert dialled == ["93.184.215.14"]


def connect(make_settings, port: int, **changes):
    target = Target("127.0.0.1", port, "shop", "reader", "Private-Pass-1", changes.pop("tls", False))
    return Connector(make_settings(**changes)).connect(target)


def after_login(then: evil.Plot) -> evil.Plot:
    """Greets, accepts any password, reads the first statement, and then does its own."""

    def plot(peer: socket.socket) -> None:
        peer.sendall(evil.greeting())
        evil.receive(peer)
        peer.sendall(evil.packet(2, evil.OK))
        evil.receive(peer)
        then(peer)

    return plot


PLOTS = {
    "nothing at all": lambda _peer: time.sleep(4),
    "hangs up": lambda peer: peer.close(),
    "another protocol": lambda peer: peer.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n"),
    "an empty packet": lambda peer: peer.sendall(evil.packet(0, b"")),
    "half a greeting": lambda peer: peer.sendall(evil.packet(0, b"\x0a11.4")),
    "no number for a version": lambda peer: (peer.sendall(evil.greeting(b"x.y")), time.sleep(2)),
    "a wrong sequence": lambda peer: peer.sendall(evil.packet(9, b"\x0a")),
    "an error with a mebibyte of text": lambda peer: peer.sendall(
        evil.packet(0, b"\xff\x15\x04#28000" + b"secret words " * 90_000)
    ),
    "a greeting in drops": lambda peer: evil.drip(peer, 30),
    "a flood": lambda peer: evil.flood(peer, 512),
    "asks for a local file": after_login(
        lambda peer: (peer.sendall(evil.packet(1, b"\xfb/etc/passwd")), time.sleep(1))
    ),
    "an answer in drops": after_login(lambda peer: evil.drip(peer, 30)),
    "an answer without end": after_login(lambda peer: evil.flood(peer, 512)),
    "an answer that is no answer": after_login(lambda peer: peer.sendall(evil.packet(1, b"\xfc\xff"))),
}  # fmt: skip


@pytest.mark.parametrize("name", PLOTS)
def test_a_hostile_server_gets_a_short_plain_error_in_bounded_time_and_memory(make_settings, name):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with evil.hostile(PLOTS[name]) as port:
        started = time.monotonic()
        with pytest.raises(CannotConnectError) as caught:
            connect(make_settings, port, customer_read_timeout=1.5)
        assert time.monotonic() - started < 6, "connect and read time-outs together bound the whole handshake"
    message = str(caught.value)
    assert len(message) < 120
    for word in ("secret words", "Private-Pass-1", "passwd", "Location"):
        assert word not in message
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "kibibytes"


def test_a_file_that_the_server_asks_for_is_not_sent(make_settings):
    sent: list[bytes] = []

    def ask(peer: socket.socket) -> None:
        peer.sendall(evil.packet(1, b"\xfb/etc/hostname"))
        peer.settimeout(2)
        while piece := peer.recv(65536):
            sent.append(piece)

    with evil.hostile(after_login(ask)) as port, pytest.raises(CannotConnectError):
        connect(make_settings, port)
    hostname = socket.gethostname().encode()
    assert not any(hostname in piece for piece in sent)


@pytest.mark.parametrize("plugin", [b"mysql_clear_password", b"dialog"])
def test_a_password_is_never_sent_unencrypted_because_the_server_asks(make_settings, plugin):
    heard: list[bytes] = []

    def plot(peer: socket.socket) -> None:
        peer.sendall(evil.greeting())
        heard.append(evil.receive(peer))
        peer.sendall(evil.packet(2, b"\xfe" + plugin + b"\0\x02Password: "))
        heard.append(evil.receive(peer))

    with evil.hostile(plot) as port, pytest.raises(CannotConnectError):
        connect(make_settings, port)
    assert heard
    assert not any(b"Private-Pass-1" in piece for piece in heard)


def test_a_server_without_tls_gets_no_login_when_tls_is_asked_for(make_settings):
    heard: list[bytes] = []

    def plot(peer: socket.socket) -> None:
        peer.sendall(evil.greeting())
        heard.append(evil.receive(peer))

    with (
        evil.hostile(plot) as port,
        pytest.raises(CannotConnectError, match="offers no encrypted connection"),
    ):
        connect(make_settings, port, tls=True)
    assert heard == []


def test_the_service_answers_on_beside_a_hostile_server(client, person, shop):
    with evil.hostile(PLOTS["asks for a local file"]) as port:
        fault = client.fault("POST", "/api/v1/databases", person.token, json=shop | {"port": port})
        assert fault == (502, "CONNECTION_ERROR")
    assert client.data("GET", "/api/v1/databases", person.token) == []
