"""One connection to Redis for the event loop, shared by all requests: each sends at once, replies come in order.

redis-py's own asyncio client costs more time for each command than everything else that answering a search from the
cache takes, because it hands out connections and waits in several layers. Parsing and packing are hiredis' here too.
"""

import asyncio
from collections import deque
from typing import Any, cast

import hiredis

from search_api.database import verifying_context
from search_api.settings import Settings

_MORE = object()
_READ_FIRST_SECONDS = 0.01


class LinkError(Exception):
    """Redis did not answer, or answered with an error."""


class NoScriptError(LinkError):
    """Redis does not know the script of this digest."""


class RedisLink:
    """Connects when first used and again after a loss."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._protocol: _Protocol | None = None
        self._connecting: asyncio.Lock | None = None

    async def call(self, *command: str | bytes | int) -> Any:
        """The reply. Raises LinkError, within the setting redis_timeout for connecting and again for the answer."""
        protocol = self._protocol
        if protocol is None or protocol.lost:
            protocol = await self._connect()
        return await protocol.call(command, self._settings.redis_timeout)

    def close(self) -> None:
        """Let go of the connection."""
        if self._protocol is not None:
            self._protocol.abort("closed")

    async def _connect(self) -> "_Protocol":
        self._connecting = self._connecting or asyncio.Lock()
        async with self._connecting:
            if self._protocol is None or self._protocol.lost:
                self._protocol = await self._open()
            return self._protocol

    async def _open(self) -> "_Protocol":
        settings = self._settings
        tls = verifying_context(settings.redis_tls_ca) if settings.redis_tls_ca is not None else None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(settings.redis_timeout):
                _, protocol = await loop.create_connection(
                    _Protocol, settings.redis_host, settings.redis_port, ssl=tls
                )
        except (OSError, TimeoutError) as error:
            raise LinkError(f"no connection ({type(error).__name__})") from None
        if password := settings.redis_password.get_secret_value():
            user = (settings.redis_user,) if settings.redis_user else ()
            await protocol.call(("AUTH", *user, password), settings.redis_timeout)
        return protocol


class _Protocol(asyncio.Protocol):
    def __init__(self) -> None:
        self.lost = False
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader(notEnoughData=_MORE)
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._loop = asyncio.get_running_loop()

    async def call(self, command: tuple[Any, ...], seconds: float) -> Any:
        if self.lost or self._transport is None:
            raise LinkError("the connection is lost")
        reply: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append(reply)
        self._transport.write(hiredis.pack_command(command))
        timer = self._loop.call_later(seconds, self._late, reply)
        try:
            answer = await reply
        finally:
            timer.cancel()
        if isinstance(answer, hiredis.ReplyError):
            raise (NoScriptError if str(answer).startswith("NOSCRIPT") else LinkError)(str(answer))
        return answer

    def abort(self, reason: str) -> None:
        self.lost = True
        if self._transport is not None:
            self._transport.abort()
        self._fail(reason)

    def _late(self, reply: asyncio.Future[Any]) -> None:
        # When this process itself was held up, the answer lies there unread: the loop gets a chance to read it first.
        self._loop.call_later(_READ_FIRST_SECONDS, self._give_up, reply)

    def _give_up(self, reply: asyncio.Future[Any]) -> None:
        # A reply that comes later would be taken for the next one's: the connection goes with it.
        if not reply.done():
            self.abort("no answer in time")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none of asyncio's classes

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not _MORE:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(reply)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self._fail("the connection broke" if error else "Redis closed the connection")

    def _fail(self, reason: str) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(LinkError(reason))
