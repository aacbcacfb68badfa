"""What can be searched in a user's database, from its information_schema."""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from search_api.customer.pools import CustomerConnection, StatementFailedError

TEXT_TYPES = {"char", "varchar", "tinytext", "text", "mediumtext", "longtext"}
_BINARY_TYPES = {
    "binary",
    "varbinary",
    "tinyblob",
    "blob",
    "mediumblob",
    "longblob",
    "bit",
    "geometry",
    "point",
}
_MOST_SCHEMAS = 500


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    type: str
    in_primary_key: bool

    @property
    def is_text(self) -> bool:
        """Whether words can be searched in it."""
        return self.type in TEXT_TYPES

    @property
    def is_shown(self) -> bool:
        """Whether it is part of a result: binary columns are not."""
        return self.type not in _BINARY_TYPES


@dataclass(frozen=True)
class FullTextIndex:
    """A FULLTEXT index and its columns, in order."""

    name: str
    columns: tuple[str, ...]
    cardinality: int | None


@dataclass(frozen=True)
class Table:
    """A base table."""

    name: str
    columns: tuple[Column, ...]
    indexes: tuple[FullTextIndex, ...]
    primary_key: tuple[str, ...]
    estimated_rows: int

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Names of the columns in which words can be searched."""
        return tuple(column.name for column in self.columns if column.is_text)


def read_schema(connection: CustomerConnection, database: str) -> tuple[Table, ...]:
    """All base tables with their columns and FULLTEXT indexes, by name. Raises as CustomerConnection.rows does."""
    columns: dict[str, list[Column]] = {}
    for row in connection.rows(
        "SELECT c.TABLE_NAME AS t, c.COLUMN_NAME AS c, c.DATA_TYPE AS d, c.COLUMN_KEY AS k"
        " FROM information_schema.COLUMNS c WHERE c.TABLE_SCHEMA = %s ORDER BY c.TABLE_NAME, c.ORDINAL_POSITION",
        (database,),
    ):
        columns.setdefault(row["t"], []).append(Column(row["c"], str(row["d"]).lower(), row["k"] == "PRI"))
    parts: dict[str, dict[str, list[str]]] = {}
    sizes: dict[tuple[str, str], int | None] = {}
    for row in connection.rows(
        "SELECT s.TABLE_NAME AS t, s.INDEX_NAME AS i, s.COLUMN_NAME AS c, s.CARDINALITY AS n"
        " FROM information_schema.STATISTICS s"
        " WHERE s.TABLE_SCHEMA = %s AND (s.INDEX_TYPE = 'FULLTEXT' OR s.INDEX_NAME = 'PRIMARY')"
        " ORDER BY s.TABLE_NAME, s.INDEX_NAME, s.SEQ_IN_INDEX",
        (database,),
    ):
        parts.setdefault(row["t"], {}).setdefault(row["i"], []).append(row["c"])
        sizes[row["t"], row["i"]] = row["n"]
    tables = []
    for row in connection.rows(
        "SELECT t.TABLE_NAME AS t, t.TABLE_ROWS AS n FROM information_schema.TABLES t"
        " WHERE t.TABLE_SCHEMA = %s AND t.TABLE_TYPE = 'BASE TABLE' ORDER BY t.TABLE_NAME",
        (database,),
    ):
        name = row["t"]
        indexes = dict(parts.get(name, {}))
        primary_key = tuple(indexes.pop("PRIMARY", ()))
        full_text = tuple(FullTextIndex(i, tuple(c), sizes[name, i]) for i, c in sorted(indexes.items()))
        tables.append(Table(name, tuple(columns.get(name, ())), full_text, primary_key, int(row["n"] or 0)))
    return tuple(tables)


class SchemaCache:
    """Schemas that were read a short while ago, in this process."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._kept: OrderedDict[str, tuple[float, tuple[Table, ...]]] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, key: str, connection: CustomerConnection, database: str) -> tuple[Table, ...]:
        """The schema, read again when it is too old. Raises as CustomerConnection.rows does."""
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
        try:
            schema = read_schema(connection, database)
        except (LookupError, TypeError, ValueError, AttributeError):
            # The server is a stranger: it may answer with other columns and values than were asked for.
            raise StatementFailedError("the database's answer makes no sense") from None
        with self._lock:
            self._kept[key] = (time.monotonic() + self._seconds, schema)
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST_SCHEMAS:
                self._kept.popitem(last=False)
        return schema
