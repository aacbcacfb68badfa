"""A load generator for one request over many kept connections: ready bytes out, counted answers in, one thread.

It costs some 20 microseconds a request, a tenth of what a Python server needs; ``Drive.busy`` shows that it waited.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

TIMEOUT = 10.0


class RawHttpError(Exception):
    """An answer that is not the expected one."""


@dataclass(frozen=True)
class Drive:
    """What was answered in how many seconds; ``busy`` is the share of the time in which this process worked."""

    answers: int
    seconds: float
    busy: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


def post(path: str, body: bytes, bearer: str | None = None) -> bytes:
    """A POST of JSON as bytes."""
    auth = f"Authorization: Bearer {bearer}\r\n" if bearer else ""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\n{auth}Content-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def once(port: int, request: bytes) -> tuple[int, bytes]:
    """Send one request; status and body."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as connection:
        connection.sendall(request)
        received = b""
        while (length := _length(received)) is None or len(received) < length:
            piece = connection.recv(65536)
            if not piece:
                break
            received += piece
    return int(received[9:12]), received.partition(b"\r\n\r\n")[2]


def drive(port: int, next_request: Callable[[], bytes], *, connections: int, seconds: float) -> Drive:
    """Keep every connection busy for so long. Raises RawHttpError at the first answer that is not 200."""
    selector = selectors.DefaultSelector()
    received: dict[socket.socket, bytes] = {}
    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received[connection] = b""
        selector.register(connection, selectors.EVENT_READ)
        connection.sendall(next_request())
    answers, started, worked = 0, time.perf_counter(), time.process_time()
    try:
        while (elapsed := time.perf_counter() - started) < seconds:
            ready = selector.select(TIMEOUT)
            if not ready:
                raise RawHttpError(f"no answer for {TIMEOUT:g} s")
            for key, _ in ready:
                source = key.fileobj
                assert isinstance(source, socket.socket)
                held = received[source] + source.recv(262_144)
                length = _length(held)
                if length is not None and len(held) >= length:
                    if not held.startswith(b"HTTP/1.1 200 "):
                        raise RawHttpError(held[:600].decode(errors="replace"))
                    answers, held = answers + 1, b""
                    source.sendall(next_request())
                received[source] = held
    finally:
        for connection in received:
            connection.close()
        selector.close()
    return Drive(answers, elapsed, (time.process_time() - worked) / elapsed)


def _length(held: bytes) -> int | None:
    """Bytes of the whole answer, None as long as its head is not complete."""
    end = held.find(b"\r\n\r\n")
    if end < 0:
        return None
    at = held.lower().find(b"content-length:", 0, end)
    if at < 0:
        raise RawHttpError("an answer without Content-Length")
    return end + 4 + int(held[at + 15 : held.find(b"\r\n", at)])
