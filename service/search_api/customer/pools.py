"""Pools of connections to users' databases: few per database, few databases at once, closed when idle."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pymysql
from pymysql.cursors import DictCursor
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from search_api import metrics
from search_api.customer.connect import CannotConnectError, Connector, Target
from search_api.customer.wire import BROKEN_PROTOCOL, AnswerTooLargeError, BoundedConnection
from search_api.database import count_connections
from search_api.settings import Settings

Row = dict[str, Any]
_TIME_LIMIT_ERRORS = {1317, 1969, 3024}
_GONE_ERRORS = {2006, 2013, 4031}


class StatementTimeoutError(Exception):
    """A statement on a user's database ran into its time limit."""


class StatementFailedError(Exception):
    """A statement on a user's database failed. The message is for that user."""


@dataclass
class _Entry:
    pool: QueuePool
    used_at: float = field(default_factory=time.monotonic)


class CustomerConnection:
    """A borrowed connection. Only statements that this service wrote run on it."""

    def __init__(self, borrowed: PoolProxiedConnection) -> None:
        self._borrowed = borrowed

    def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows of a statement; user text only ever comes in as parameters.

        Raises StatementTimeoutError or StatementFailedError.
        """
        metrics.SQL_STATEMENTS.labels("customer").inc()
        started = time.perf_counter()
        cast(BoundedConnection, self._borrowed.dbapi_connection).begin_answer()
        try:
            with closing(self._borrowed.cursor(DictCursor)) as cursor:
                cursor.execute(statement, tuple(parameters))
                return cast(list[Row], list(cursor.fetchall()))
        except AnswerTooLargeError:
            self._borrowed.invalidate()
            raise StatementFailedError("the database's answer is too large") from None
        except pymysql.err.MySQLError as error:
            raise self._judge(error) from None
        except BROKEN_PROTOCOL:
            self._borrowed.invalidate()
            raise StatementFailedError("the server does not speak MySQL's protocol") from None
        finally:
            metrics.SQL_SECONDS.labels("customer").observe(time.perf_counter() - started)

    def _judge(self, error: pymysql.err.MySQLError) -> Exception:
        number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        if number in _TIME_LIMIT_ERRORS:
            return StatementTimeoutError("the database took too long")
        if number in _GONE_ERRORS or number == 0:
            self._borrowed.invalidate()
            if "timed out" in str(error):
                return StatementTimeoutError("the database stopped answering")
            return StatementFailedError("the connection to the database broke")
        return StatementFailedError(f"the database refused the search (error {number})")


_KEPT_OPEN = 2


class CustomerPools:
    """Borrows connections by key; a key stands for one state of one stored connection."""

    def __init__(self, settings: Settings, connector: Connector) -> None:
        self._settings = settings
        self._connector = connector
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def borrow(self, key: str, target: Target) -> Iterator[CustomerConnection]:
        """A live connection. Raises CannotConnectError, or ApiError 403 HOST_NOT_ALLOWED."""
        pool = self._pool(key, target)
        borrowed = self._live(pool)
        try:
            yield CustomerConnection(borrowed)
        finally:
            borrowed.close()

    def state(self) -> dict[str, int]:
        """How many databases have open connections in this worker, and how many connections are in use."""
        with self._lock:
            pools = [entry.pool for entry in self._entries.values()]
        return {"databases": len(pools), "inUse": sum(pool.checkedout() for pool in pools)}

    def close(self) -> None:
        """Close every pool."""
        with self._lock:
            entries, self._entries = list(self._entries.values()), OrderedDict()
        for entry in entries:
            entry.pool.dispose()

    def _pool(self, key: str, target: Target) -> QueuePool:
        with self._lock:
            entry = self._entries.pop(key, None) or _Entry(self._open(target))
            entry.used_at = time.monotonic()
            self._entries[key] = entry
            surplus = self._surplus(entry.used_at)
        for pool in surplus:
            pool.dispose()
        return entry.pool

    def _open(self, target: Target) -> QueuePool:
        # Every worker of every slot keeps a pool for every user's database: few are kept open, or a server
        # that many users share runs out of connections.
        most = self._settings.customer_pool_size
        kept = min(_KEPT_OPEN, most)
        pool = QueuePool(
            lambda: cast(DBAPIConnection, self._connector.connect(target)),
            pool_size=kept,
            max_overflow=most - kept,
            timeout=self._settings.customer_pool_timeout,
            recycle=int(self._settings.pool_recycle),
            reset_on_return=None,
        )
        count_connections(pool, "customer")
        return pool

    def _surplus(self, at: float) -> list[QueuePool]:
        """Take out the least recently used pools, beyond the number and beyond the idle time."""
        surplus = []
        while self._entries:
            oldest = next(iter(self._entries))
            entry = self._entries[oldest]
            idle = at - entry.used_at > self._settings.customer_pool_idle
            if not idle and len(self._entries) <= self._settings.customer_pools:
                break
            surplus.append(self._entries.pop(oldest).pool)
        return surplus

    def _live(self, pool: QueuePool) -> PoolProxiedConnection:
        for _ in range(self._settings.customer_pool_size + 1):
            try:
                borrowed = pool.connect()
            except PoolTimeoutError:
                raise CannotConnectError("too many searches of this database at once") from None
            connection = cast(BoundedConnection, borrowed.dbapi_connection)
            connection.begin_answer()
            try:
                connection.ping(reconnect=False)
            except (pymysql.err.Error, OSError, *BROKEN_PROTOCOL):
                borrowed.invalidate()
                borrowed.close()
                continue
            return borrowed
        raise CannotConnectError("the server closes its connections")
