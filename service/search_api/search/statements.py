"""The SQL of a search on one table. Names come from information_schema, quoted; user text is only ever a parameter."""

# ruff: noqa: S608 (what is put into the text: quoted names, placeholders, numbers of our own)

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from search_api.customer.schema import FullTextIndex, Table
from search_api.search.conditions import (
    ALWAYS_FALSE,
    Sql,
    condition,
    has_text,
    has_word,
    joined,
    leaf,
    quote,
)
from search_api.search.query import Group, terms_of, top_level_text, without_exclusions

Mode = Literal["natural", "boolean"]
SHOWN_TEXT_LENGTH = 10_000
RANKED_TEXT_LENGTH = 4_000
# Names that no column of a user's table is likely to have: GROUP BY takes a column before an alias.
SCORE, FULL, VALUE = "lg score", "lg full", "lg value"
# Columns by which results are told apart, in this order, where a table has one; then each table is a category.
_CATEGORY_NAMES = (
    "section",
    "category",
    "type",
    "kind",
    "topic",
    "genre",
    "department",
    "brand",
    "status",
    "language",
)
_CATEGORY_TYPES = ("char", "varchar", "enum")

_NOT_ASKED = Sql("0")


@dataclass(frozen=True)
class TableSearch:
    """How one table is searched.

    ``by_like`` says that no FULLTEXT index serves, so words are looked for row by row. ``exact`` says that what the
    indexes find lies within the columns asked for. ``full`` is 1 for rows that an index knows to hold all words.
    """

    table: Table
    columns: tuple[str, ...]
    source: Sql
    where: Sql
    score: Sql
    by_like: bool
    indexes: tuple[FullTextIndex, ...] = ()
    exact: bool = True
    full: Sql = _NOT_ASKED

    @property
    def category_column(self) -> str | None:
        """The column by which the table's rows are told apart."""
        types = {column.name: column.type for column in self.table.columns}
        lower = {name.lower(): name for name in types}
        found = (lower[name] for name in _CATEGORY_NAMES if name in lower)
        return next((name for name in found if types[name] in _CATEGORY_TYPES), None)

    def wanting(self, words: Sequence[str]) -> "TableSearch":
        """The same search, with rows first that hold all these words. It costs one more look into each index."""
        if self.by_like or len(words) < 2:
            return self
        text = " ".join(f"+{word}" for word in words)
        each = [_match(index, "boolean", text) for index in self.indexes]
        full = joined([Sql(f"({match.text} > 0)", match.parameters) for match in each], " OR ")
        return replace(self, full=full)

    def hits(self, limit: int) -> Sql:
        """Keys and scores of the best rows; whole rows when the table has no primary key."""
        chosen = ", ".join(quote(name) for name in self.table.primary_key) or _shown(self.table)
        order = ", ".join(quote(name) for name in self.table.primary_key) or _row_digest(self.table)
        text = (
            f"SELECT {chosen}, {self.score.text} AS `{SCORE}`, {self.full.text} AS `{FULL}`"
            f" FROM {self.source.text} WHERE {self.where.text}"
            f" ORDER BY `{FULL}` DESC, `{SCORE}` DESC, {order} LIMIT %s"
        )
        before = (*self.score.parameters, *self.full.parameters, *self.source.parameters)
        return Sql(text, (*before, *self.where.parameters, limit))

    def count(self) -> Sql:
        """The number of matching rows as ``n``."""
        return Sql(
            f"SELECT COUNT(*) AS n FROM {self.source.text} WHERE {self.where.text}",
            (*self.source.parameters, *self.where.parameters),
        )

    def count_by(self, column: str, most: int) -> Sql:
        """The number of matching rows as ``n`` for each value of a column, as ``VALUE``, the largest first."""
        return Sql(
            f"SELECT {quote(column)} AS `{VALUE}`, COUNT(*) AS n FROM {self.source.text} WHERE {self.where.text}"
            f" GROUP BY `{VALUE}` ORDER BY n DESC, `{VALUE}` LIMIT %s",
            (*self.source.parameters, *self.where.parameters, most),
        )

    def frequencies(self, words: Sequence[str]) -> Sql:
        """In how many rows each of the words is, as ``n0``, ``n1`` and so on: of several indexes, what knows most."""
        counts, values = [], []
        for number, word in enumerate(words):
            each = [_match(index, "boolean", word) for index in self.indexes]
            asked = [f"(SELECT COUNT(*) FROM {quote(self.table.name)} WHERE {match.text})" for match in each]
            counts.append(f"{_greatest(asked)} AS n{number}")
            values += [value for match in each for value in match.parameters]
        return Sql("SELECT " + ", ".join(counts), tuple(values))

    def texts(self, keys: Sequence[tuple[object, ...]]) -> Sql:
        """What ranking reads of the rows with these primary keys: the searched columns' text, and the category."""
        names = dict.fromkeys(self.table.primary_key)
        long = [name for name in self.columns if name not in names]
        if (category := self.category_column) is not None and category not in self.columns:
            names[category] = None
        chosen = [
            *(quote(name) for name in names),
            *(f"LEFT({quote(name)}, {RANKED_TEXT_LENGTH}) AS {quote(name)}" for name in long),
        ]
        return self._by_key(", ".join(chosen), keys)

    def rows(self, keys: Sequence[tuple[object, ...]]) -> Sql:
        """The rows with these primary keys, as results show them."""
        return self._by_key(_shown(self.table), keys)

    def _by_key(self, chosen: str, keys: Sequence[tuple[object, ...]]) -> Sql:
        names = ", ".join(quote(name) for name in self.table.primary_key)
        group = "(" + ", ".join(["%s"] * len(self.table.primary_key)) + ")"
        groups = ", ".join([group] * len(keys))
        text = f"SELECT {chosen} FROM {quote(self.table.name)} WHERE ({names}) IN ({groups})"
        return Sql(text, tuple(value for key in keys for value in key))


def plan_table(
    table: Table, wanted: frozenset[str] | None, mode: Mode, query: Group, cap: int
) -> TableSearch | None:
    """How to search a table, or None when it has no column to search. ``cap`` is the row cap without an index."""
    columns = _columns(table, wanted)
    if not columns:
        return None
    whole, partly = _choose_indexes(table, columns)
    covered = {name for index in (*whole, *partly) for name in index.columns}
    if covered >= set(columns):
        return _by_index(table, columns, whole, partly, mode, query)
    return _by_like(table, columns, query, cap)


def scanned_rows(table: Table, cap: int) -> Sql:
    """The number of rows as ``n``, counted no further than one beyond the cap."""
    return Sql(
        f"SELECT COUNT(*) AS n FROM (SELECT 1 FROM {quote(table.name)} LIMIT %s) AS counted", (cap + 1,)
    )


def _columns(table: Table, wanted: frozenset[str] | None) -> tuple[str, ...]:
    if wanted is not None:
        return tuple(name for name in table.text_columns if name in wanted)
    indexed = {name for index in table.indexes for name in index.columns}
    return tuple(name for name in table.text_columns if name in indexed) or table.text_columns


def _choose_indexes(
    table: Table, columns: tuple[str, ...]
) -> tuple[list[FullTextIndex], list[FullTextIndex]]:
    """Indexes that lie within the columns, and indexes that reach beyond them, as few as cover the columns."""
    missing = set(columns)
    whole: list[FullTextIndex] = []
    partly: list[FullTextIndex] = []
    inside = [index for index in table.indexes if set(index.columns) <= set(columns)]
    for index in sorted(inside, key=lambda index: (-len(index.columns), index.name)):
        if missing & set(index.columns):
            whole.append(index)
            missing -= set(index.columns)
    beyond = [index for index in table.indexes if index not in inside]
    for index in sorted(
        beyond, key=lambda index: (-len(missing & set(index.columns)), len(index.columns), index.name)
    ):
        if missing & set(index.columns):
            partly.append(index)
            missing -= set(index.columns)
    return whole, partly


def _by_index(
    table: Table,
    columns: tuple[str, ...],
    whole: list[FullTextIndex],
    partly: list[FullTextIndex],
    mode: Mode,
    query: Group,
) -> TableSearch:
    # In natural mode too only words are sent: InnoDB takes some operators there for syntax errors.
    exact = top_level_text(query)
    # A word excluded in a column that was not asked for must not exclude the row: the condition below excludes.
    generous = top_level_text(without_exclusions(query)) or exact
    matches = [_match(index, mode, exact) for index in whole]
    conditions = list(matches)
    for index in partly:
        match = _match(index, mode, generous)
        inside = condition(
            query, [name for name in index.columns if name in columns], has_word, indexed_only=True
        )
        matches.append(match)
        conditions.append(Sql(f"({match.text} AND {inside.text})", (*match.parameters, *inside.parameters)))
    return TableSearch(
        table,
        columns,
        Sql(quote(table.name)),
        joined(conditions, " OR "),
        joined(matches, " + "),
        by_like=False,
        indexes=(*whole, *partly),
        exact=not partly,
    )


def _by_like(table: Table, columns: tuple[str, ...], query: Group, cap: int) -> TableSearch:
    search = TableSearch(table, columns, Sql(""), Sql(""), Sql(""), by_like=True)
    category = [search.category_column] if search.category_column is not None else []
    needed = dict.fromkeys(
        [*table.primary_key, *columns, *category] if table.primary_key else [c.name for c in table.columns]
    )
    names = ", ".join(quote(name) for name in needed)
    order = ", ".join(quote(name) for name in table.primary_key)
    source = Sql(
        f"(SELECT {names} FROM {quote(table.name)}{f' ORDER BY {order}' if order else ''} LIMIT %s) AS looked_at",
        (cap,),
    )
    found = [leaf(term, list(columns), has_text) for term in terms_of(query)]
    score = joined(found, " + ") if found else Sql(ALWAYS_FALSE)
    # Half of the share of terms: a row found by an index with a real score stands before one found by looking.
    score = Sql(f"(0.5 * {score.text} / {max(len(found), 1)})", score.parameters)
    return replace(search, source=source, where=condition(query, list(columns), has_text), score=score)


def _match(index: FullTextIndex, mode: Mode, text: str) -> Sql:
    names = ", ".join(quote(name) for name in index.columns)
    how = "IN NATURAL LANGUAGE MODE" if mode == "natural" else "IN BOOLEAN MODE"
    return Sql(f"MATCH ({names}) AGAINST (%s {how})", (text,))


def _greatest(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"GREATEST({', '.join(items)})"


def _shown(table: Table) -> str:
    parts = [
        f"LEFT({quote(column.name)}, {SHOWN_TEXT_LENGTH}) AS {quote(column.name)}"
        if column.is_text
        else quote(column.name)
        for column in table.columns
        if column.is_shown or column.in_primary_key
    ]
    return ", ".join(parts)


def _row_digest(table: Table) -> str:
    # MySQL 9 has no MD5() any more; both families have SHA2().
    return "SHA2(CONCAT_WS(0x1f, " + ", ".join(quote(c.name) for c in table.columns if c.is_shown) + "), 256)"
