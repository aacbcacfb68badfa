"""A database server that means harm: what it says on the wire is the test's own."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Plot = Callable[[socket.socket], None]
LOCAL_FILES, PLUGIN_AUTH = 1 << 7, 1 << 19
_CAPABILITIES = 0x00000001 | 0x00000008 | 0x00000200 | 0x00008000 | PLUGIN_AUTH | LOCAL_FILES
OK = b"\x00\x00\x00\x02\x00\x00\x00"


def packet(number: int, payload: bytes) -> bytes:
    """One packet of MySQL's protocol."""
    return struct.pack("<I", len(payload))[:3] + bytes([number]) + payload


def greeting(version: bytes = b"11.4.2-MariaDB", plugin: bytes = b"mysql_native_password") -> bytes:
    """The first packet of a server that looks honest."""
    low, high = _CAPABILITIES & 0xFFFF, _CAPABILITIES >> 16
    return packet(
        0,
        b"\x0a" + version + b"\0" + struct.pack("<I", 7) + b"saltsalt\0" + struct.pack("<HBHH", low, 45, 2, high)
        + b"\x15" + b"\0" * 10 + b"moresaltmore\0" + plugin + b"\0",
    )  # fmt: skip


def receive(peer: socket.socket) -> bytes:
    """The payload of the next packet of the client."""
    head = _exactly(peer, 4)
    return _exactly(peer, head[0] + (head[1] << 8) + (head[2] << 16))


def _exactly(peer: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = peer.recv(count - len(data))
        if not piece:
            raise ConnectionError("the client went away")
        data += piece
    return data


def drip(peer: socket.socket, seconds: float) -> None:
    """A byte now and then, so that no silence is ever long."""
    until = time.monotonic() + seconds
    peer.sendall(b"\xf0\xff\x00\x00")
    while time.monotonic() < until:
        peer.sendall(b"x")
        time.sleep(0.1)


def flood(peer: socket.socket, mebibytes: int) -> None:
    """Packets of full length, each of which says that more follow."""
    piece = b"\xff\xff\xff\x00" + b"x" * 0xFFFFFF
    for _ in range(mebibytes // 16):
        peer.sendall(piece)


@contextmanager
def hostile(plot: Plot) -> Iterator[int]:
    """Plays the plot to every client that connects; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        over = threading.Event()

        def play(peer: socket.socket) -> None:
            with peer:
                peer.settimeout(30)
                try:
                    plot(peer)
                except OSError:
                    return  # the client had enough

        def serve() -> None:
            while not over.is_set():
                try:
                    peer, _ = listening.accept()
                except TimeoutError:
                    continue
                threading.Thread(target=play, args=(peer,), daemon=True).start()

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            over.set()
            server.join(timeout=5)
