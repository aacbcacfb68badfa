"""The wire to a user's database. Whoever runs that server may be hostile: its bytes are bounded in number and time.

MySQL's protocol has no redirect that PyMySQL follows (MariaDB's ``redirect_url`` is a session variable that it never
reads), and a server's wish for a local file (LOAD DATA LOCAL) is refused because ``local_infile`` is off.
"""

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedReader
from typing import TYPE_CHECKING, Any, NoReturn

import pymysql
from pymysql.connections import Connection
from pymysql.constants import CR
from pymysql.cursors import Cursor

# What PyMySQL raises, besides its own errors, on bytes that no honest server sends: RuntimeError for an uncalled-for
# LOAD DATA LOCAL, the others where it unpacks fields that are not there.
BROKEN_PROTOCOL = (
    RuntimeError, LookupError, AssertionError, ValueError, TypeError, AttributeError, OverflowError, struct.error
)  # fmt: skip

_HANDSHAKE_BYTES = 1 << 20
_ANSWER_BYTES = 64 << 20

if TYPE_CHECKING:
    _Connection = Connection[Cursor]
else:
    _Connection = Connection


@dataclass(frozen=True)
class Limits:
    """Longest handshake with the first settings, and longest answer to a statement, in seconds."""

    connect_seconds: float
    statement_seconds: float


class AnswerTooLargeError(pymysql.err.OperationalError):
    """The server sent more than any answer may have."""


class BoundedConnection(_Connection):
    """A connection that reads so many bytes in so much time and then gives up.

    PyMySQL's own time-out is one of silence: a server that sends a byte now and then would hold a thread for ever,
    and one that announces packet after packet would fill the memory.
    """

    # PyMySQL's own, which its type stubs leave out.
    _rfile: BufferedReader
    _force_close: Callable[[], None]

    def __init__(self, limits: Limits, **options: Any) -> None:
        self._limits = limits
        self._bytes_left = _HANDSHAKE_BYTES
        self._until = time.monotonic() + limits.connect_seconds
        super().__init__(**options)

    def begin_answer(self) -> None:
        """A new allowance: call it before each statement."""
        self._bytes_left = _ANSWER_BYTES
        self._until = time.monotonic() + self._limits.statement_seconds

    def _read_bytes(self, num_bytes: int) -> bytes:
        """PyMySQL's only way to the socket. Raises OperationalError as PyMySQL's own does, or AnswerTooLargeError."""
        if num_bytes > self._bytes_left:
            self._force_close()
            raise AnswerTooLargeError(CR.CR_NET_PACKET_TOO_LARGE, "The answer is too large")
        self._bytes_left -= num_bytes
        pieces = bytearray()
        while len(pieces) < num_bytes:
            if time.monotonic() > self._until:
                self._lose(TimeoutError("timed out"))
            try:
                piece = self._rfile.read1(num_bytes - len(pieces))
            except OSError as error:
                self._lose(error)
            if not piece:
                self._lose(None)
            pieces += piece
        return bytes(pieces)

    def _lose(self, error: OSError | None) -> NoReturn:
        self._force_close()
        reason = f" ({error})" if error else ""
        raise pymysql.err.OperationalError(
            CR.CR_SERVER_LOST, f"Lost connection to MySQL server during query{reason}"
        )


class NoClearPassword:
    """Stands in for the plugins that would send the password as it is."""

    def __init__(self, connection: object) -> None:
        del connection

    def authenticate(self, packet: object) -> NoReturn:
        """Refuse. Raises OperationalError."""
        del packet
        raise pymysql.err.OperationalError(
            CR.CR_AUTH_PLUGIN_CANNOT_LOAD, "the server wants the password unencrypted"
        )
