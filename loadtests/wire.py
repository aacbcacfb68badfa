"""HTTP/1.1 over one keep-alive connection, by hand: nothing is ever sent twice, and every failure has a name.

Client libraries retry quietly when a kept connection turns out dead. That hides exactly the requests that a
release loses, so the instruments that may claim "0 lost" speak through this module only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from loadtests.target import Target

REFUSED, RESET, CLOSED, TIMEOUT, TRUNCATED = "refused", "reset", "closed", "timeout", "truncated"
UNREACHABLE, TLS, GARBLED = "unreachable", "tls", "garbled"
_NO_BODY = (204, 304)


class Lost(Exception):
    """A request without a whole answer; `fate` says how it ended.

    refused, unreachable, tls: no connection came about. reset, closed: it broke before the first byte of an answer.
    truncated: it broke inside the answer. timeout: no whole answer in time. garbled: the answer was not HTTP.
    """

    def __init__(self, fate: str, detail: str = "") -> None:
        super().__init__(f"{fate}: {detail}" if detail else fate)
        self.fate = fate


@dataclass(frozen=True)
class Answer:
    """A whole answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """One connection to a target. Not for use by two tasks at once."""

    def __init__(self, target: Target, tls: ssl.SSLContext | None) -> None:
        self._target, self._tls = target, tls
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.opened = 0
        self.closed_while_idle = 0

    async def exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Answer:
        """Sends one request, once, and returns its whole answer. Raises Lost after `timeout` seconds at the latest.

        A connection that the server has visibly closed since its last answer is replaced first: on that one nothing was
        sent yet. One that it closes while the request is under way is a lost request.
        """
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await self._ready()
                answer = await _exchange(reader, writer, self._head(method, path, headers, body), method)
        except TimeoutError as error:
            self.close()
            raise Lost(TIMEOUT, f"no whole answer within {timeout:g} s") from error
        except BaseException:
            self.close()
            raise
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    def close(self) -> None:
        """Drops the connection; the next request opens another."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _ready(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is not None and (self._streams[0].at_eof() or self._streams[1].is_closing()):
            self.closed_while_idle += 1
            self.close()
        if self._streams is None:
            self._streams = await self._open()
            self.opened += 1
        return self._streams

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        name = self._target.host if self._tls else None
        try:
            return await asyncio.open_connection(
                self._target.address, self._target.port, ssl=self._tls, server_hostname=name
            )
        except ConnectionRefusedError as error:
            raise Lost(REFUSED, str(error)) from error
        except ssl.SSLError as error:
            raise Lost(TLS, str(error)) from error
        except ConnectionError as error:
            raise Lost(RESET, str(error)) from error
        except OSError as error:
            raise Lost(UNREACHABLE, str(error)) from error

    def _head(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._target.authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None or method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(body or b'')}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, method: str
) -> Answer:
    begun = False
    try:
        with contextlib.suppress(ConnectionError):
            # A server may answer and close before it has read everything: then the answer is still worth reading.
            writer.write(request)
            await writer.drain()
        status_line = await reader.readline()
        if not status_line:
            raise Lost(CLOSED, "the connection ended before an answer")
        begun = True
        status, headers = await _headers(reader, status_line)
        return Answer(status, headers, await _body(reader, method, status, headers))
    except asyncio.IncompleteReadError as error:
        raise Lost(TRUNCATED, "the connection ended inside the answer") from error
    except ssl.SSLError as error:
        raise Lost(TRUNCATED if begun else RESET, str(error)) from error
    except OSError as error:
        raise Lost(TRUNCATED if begun else RESET, str(error)) from error
    except ValueError as error:
        raise Lost(GARBLED, str(error)) from error


async def _headers(reader: asyncio.StreamReader, status_line: bytes) -> tuple[int, dict[str, str]]:
    while True:
        if not status_line.endswith(b"\n"):
            raise asyncio.IncompleteReadError(status_line, None)
        parts = status_line.split(None, 2)
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
            raise ValueError(f"not a status line: {status_line[:60]!r}")
        headers: dict[str, str] = {}
        while (line := await reader.readuntil(b"\n")).strip():
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon:
                raise ValueError(f"not a header: {line[:60]!r}")
            headers[name.strip().lower()] = value.strip()
        if int(parts[1]) >= 200:
            return int(parts[1]), headers
        status_line = await reader.readuntil(b"\n")


async def _body(reader: asyncio.StreamReader, method: str, status: int, headers: Mapping[str, str]) -> bytes:
    if method == "HEAD" or status in _NO_BODY:
        return b""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return await _chunks(reader)
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    if headers.get("connection", "").lower() != "close":
        raise ValueError("an answer of unknown length on a connection that stays open")
    return await reader.read()


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readuntil(b"\n")).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    while (await reader.readuntil(b"\n")).strip():
        pass
    return b"".join(parts)


class Pool:
    """Connections to one target. Requests share them in turn, so that each sits idle now and then as a user's does."""

    def __init__(self, target: Target, timeout: float) -> None:
        self._target, self._tls, self._timeout = target, target.tls(), timeout
        self._idle: list[Connection] = []
        self._all: list[Connection] = []

    async def exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        """As Connection.exchange, on the connection that was idle longest or a new one."""
        connection = self._idle.pop(0) if self._idle else self._added()
        try:
            return await connection.exchange(method, path, headers, body, self._timeout)
        finally:
            self._idle.append(connection)

    def warm(self, count: int) -> None:
        """Makes sure that the pool has at least `count` connections to rotate through."""
        while len(self._all) < count:
            self._idle.append(self._added())

    def _added(self) -> Connection:
        self._all.append(Connection(self._target, self._tls))
        return self._all[-1]

    @property
    def opened(self) -> int:
        """Connections opened so far."""
        return sum(connection.opened for connection in self._all)

    @property
    def closed_while_idle(self) -> int:
        """Connections that the server closed between requests, with nothing under way."""
        return sum(connection.closed_while_idle for connection in self._all)

    def close(self) -> None:
        """Drops all connections."""
        for connection in self._all:
            connection.close()
