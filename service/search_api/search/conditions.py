"""Conditions on columns in plain SQL: what MATCH does not say. User text is only ever a parameter."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from search_api.search.query import Group, Part, Term

ALWAYS_FALSE = "0"
_NOT_A_WORD = "[^[:alnum:]_]"


@dataclass(frozen=True)
class Sql:
    """SQL text and its parameters."""

    text: str
    parameters: tuple[object, ...] = ()


def quote(name: str) -> str:
    """A name as an identifier. The percent sign is doubled because the driver formats the text."""
    return "`" + name.replace("`", "``").replace("%", "%%") + "`"


Test = Callable[[str, Term], Sql]


def condition(part: Part, columns: list[str], test: Test, *, indexed_only: bool = False) -> Sql:
    """Boolean mode in plain SQL: every + part, no - part, and one of the others when there is no + part."""
    if isinstance(part, Term):
        return leaf(part, columns, test)
    parts = [
        inner for inner in part.parts if not indexed_only or isinstance(inner, Group) or inner.is_indexed
    ]
    parts = parts or list(part.parts)
    sql = {
        sign: [
            condition(inner, columns, test, indexed_only=indexed_only)
            for inner in parts
            if inner.operator in signs
        ]
        for sign, signs in (("must", ("+",)), ("never", ("-",)), ("may", ("", "~", "<", ">")))
    }
    wanted = sql["must"] or [joined(sql["may"], " OR ")]
    return joined([*wanted, *(Sql(f"NOT {item.text}", item.parameters) for item in sql["never"])], " AND ")


def leaf(term: Term, columns: list[str], test: Test) -> Sql:
    """The term in any of the columns."""
    return joined([test(name, term) for name in columns], " OR ")


def has_text(column: str, term: Term) -> Sql:
    """The term anywhere in the column, also inside of words."""
    text = " ".join(term.words)
    for special in "|%_":
        text = text.replace(special, f"|{special}")
    return Sql(f"IFNULL({quote(column)} LIKE %s ESCAPE '|', 0)", (f"%{text}%",))


def has_word(column: str, term: Term) -> Sql:
    """The term as whole words in the column."""
    # The words hold letters, digits and underscores only, so that none of them is an operator of the expression.
    middle = f"{_NOT_A_WORD}+".join(term.words)
    end = "" if term.is_prefix else f"({_NOT_A_WORD}|$)"
    return Sql(f"IFNULL({quote(column)} REGEXP %s, 0)", (f"(^|{_NOT_A_WORD}){middle}{end}",))


def joined(items: Sequence[Sql], operator: str) -> Sql:
    """All items in one expression; an always false one when there are none."""
    if not items:
        return Sql(ALWAYS_FALSE)
    text = operator.join(item.text for item in items)
    return Sql(f"({text})", tuple(value for item in items for value in item.parameters))
