"""The SQL of a search on one table. Names come from information_schema, quoted; user text is only ever a parameter."""

# ruff: noqa: S608 (what is put into the text: quoted names, placeholders, numbers of our own)

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from search_api.customer.schema import FullTextIndex, Table
from search_api.search.query import Group, Part, Term, terms_of, top_level_text, without_exclusions

Mode = Literal["natural", "boolean"]
SHOWN_TEXT_LENGTH = 10_000
_NOT_A_WORD = "[^[:alnum:]_]"
_ALWAYS_FALSE = "0"


@dataclass(frozen=True)
class Sql:
    """SQL text and its parameters."""

    text: str
    parameters: tuple[object, ...] = ()


@dataclass(frozen=True)
class TableSearch:
    """How one table is searched. ``by_like`` says that no FULLTEXT index serves, so words are looked for row by row."""

    table: Table
    columns: tuple[str, ...]
    source: Sql
    where: Sql
    score: Sql
    by_like: bool

    def hits(self, limit: int) -> Sql:
        """Keys and scores of the best rows; whole rows when the table has no primary key."""
        chosen = ", ".join(quote(name) for name in self.table.primary_key) or _shown(self.table)
        order = ", ".join(quote(name) for name in self.table.primary_key) or _row_digest(self.table)
        text = (
            f"SELECT {chosen}, {self.score.text} AS `lg score`"
            f" FROM {self.source.text} WHERE {self.where.text} ORDER BY `lg score` DESC, {order} LIMIT %s"
        )
        return Sql(text, (*self.score.parameters, *self.source.parameters, *self.where.parameters, limit))

    def count(self) -> Sql:
        """The number of matching rows as ``n``."""
        return Sql(
            f"SELECT COUNT(*) AS n FROM {self.source.text} WHERE {self.where.text}",
            (*self.source.parameters, *self.where.parameters),
        )

    def rows(self, keys: Sequence[tuple[object, ...]]) -> Sql:
        """The rows with these primary keys."""
        names = ", ".join(quote(name) for name in self.table.primary_key)
        group = "(" + ", ".join(["%s"] * len(self.table.primary_key)) + ")"
        groups = ", ".join([group] * len(keys))
        text = f"SELECT {_shown(self.table)} FROM {quote(self.table.name)} WHERE ({names}) IN ({groups})"
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


def quote(name: str) -> str:
    """A name as an identifier. The percent sign is doubled because the driver formats the text."""
    return "`" + name.replace("`", "``").replace("%", "%%") + "`"


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
        inside = _condition(
            query, [name for name in index.columns if name in columns], _has_word, indexed_only=True
        )
        matches.append(match)
        conditions.append(Sql(f"({match.text} AND {inside.text})", (*match.parameters, *inside.parameters)))
    return TableSearch(
        table,
        columns,
        Sql(quote(table.name)),
        _joined(conditions, " OR "),
        _joined(matches, " + "),
        by_like=False,
    )


def _by_like(table: Table, columns: tuple[str, ...], query: Group, cap: int) -> TableSearch:
    needed = dict.fromkeys(
        [*table.primary_key, *columns] if table.primary_key else [c.name for c in table.columns]
    )
    names = ", ".join(quote(name) for name in needed)
    order = ", ".join(quote(name) for name in table.primary_key)
    source = Sql(
        f"(SELECT {names} FROM {quote(table.name)}{f' ORDER BY {order}' if order else ''} LIMIT %s) AS looked_at",
        (cap,),
    )
    found = [_leaf(term, list(columns), _has_text) for term in terms_of(query)]
    score = _joined(found, " + ") if found else Sql(_ALWAYS_FALSE)
    # Half of the share of terms: a row found by an index with a real score stands before one found by looking.
    score = Sql(f"(0.5 * {score.text} / {max(len(found), 1)})", score.parameters)
    return TableSearch(
        table, columns, source, _condition(query, list(columns), _has_text), score, by_like=True
    )


def _match(index: FullTextIndex, mode: Mode, text: str) -> Sql:
    names = ", ".join(quote(name) for name in index.columns)
    how = "IN NATURAL LANGUAGE MODE" if mode == "natural" else "IN BOOLEAN MODE"
    return Sql(f"MATCH ({names}) AGAINST (%s {how})", (text,))


Test = Callable[[str, Term], Sql]


def _condition(part: Part, columns: list[str], test: Test, *, indexed_only: bool = False) -> Sql:
    """Boolean mode in plain SQL: every + part, no - part, and one of the others when there is no + part."""
    if isinstance(part, Term):
        return _leaf(part, columns, test)
    parts = [
        inner for inner in part.parts if not indexed_only or isinstance(inner, Group) or inner.is_indexed
    ]
    parts = parts or list(part.parts)
    sql = {
        sign: [
            _condition(inner, columns, test, indexed_only=indexed_only)
            for inner in parts
            if inner.operator in signs
        ]
        for sign, signs in (("must", ("+",)), ("never", ("-",)), ("may", ("", "~", "<", ">")))
    }
    wanted = sql["must"] or [_joined(sql["may"], " OR ")]
    return _joined([*wanted, *(Sql(f"NOT {item.text}", item.parameters) for item in sql["never"])], " AND ")


def _leaf(term: Term, columns: list[str], test: Test) -> Sql:
    return _joined([test(name, term) for name in columns], " OR ")


def _has_text(column: str, term: Term) -> Sql:
    text = " ".join(term.words)
    for special in "|%_":
        text = text.replace(special, f"|{special}")
    return Sql(f"IFNULL({quote(column)} LIKE %s ESCAPE '|', 0)", (f"%{text}%",))


def _has_word(column: str, term: Term) -> Sql:
    # The words hold letters, digits and underscores only, so that none of them is an operator of the expression.
    middle = f"{_NOT_A_WORD}+".join(term.words)
    end = "" if term.is_prefix else f"({_NOT_A_WORD}|$)"
    return Sql(f"IFNULL({quote(column)} REGEXP %s, 0)", (f"(^|{_NOT_A_WORD}){middle}{end}",))


def _joined(items: Sequence[Sql], operator: str) -> Sql:
    if not items:
        return Sql(_ALWAYS_FALSE)
    text = operator.join(item.text for item in items)
    return Sql(f"({text})", tuple(value for item in items for value in item.parameters))


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
