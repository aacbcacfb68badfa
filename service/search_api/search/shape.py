"""A row of a user's table as a result of a search: JSON values, the columns that matched, a snippet."""

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from search_api.customer.pools import Row
from search_api.search.query import Term

_SNIPPET_LENGTH = 200
_BEFORE_THE_WORD = 60


def json_value(value: object) -> Any:
    """A value of MySQL as JSON holds it; bytes are not shown."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return None


def words_pattern(terms: Sequence[Term]) -> re.Pattern[str]:
    """Finds any of the terms, as whole words. Terms that no index knows count only when there are no others."""
    known = [term for term in terms if term.is_indexed] or list(terms)
    each = [r"\W+".join(map(re.escape, term.words)) + ("" if term.is_prefix else r"(?!\w)") for term in known]
    return re.compile(r"(?<!\w)(?:" + "|".join(each) + ")" if each else r"(?!)", re.IGNORECASE)


def shape_result(
    *,
    database_id: str,
    table: str,
    key: Sequence[object],
    score: float,
    row: Row,
    columns: Sequence[str],
    pattern: re.Pattern[str],
) -> dict[str, Any]:
    """One entry of ``results``. ``score`` is MySQL's own; what is shown lies between 0 and 1 and keeps the order."""
    data = {name: json_value(value) for name, value in row.items()}
    texts = {name: value for name in columns if isinstance(value := data.get(name), str)}
    matched = [name for name, value in texts.items() if pattern.search(value)] or list(columns)
    return {
        "id": f"{table}:{','.join(str(json_value(value)) for value in key)}",
        "table": table,
        "database": database_id,
        "relevanceScore": round(score / (1 + score), 6),
        "matchedColumns": matched,
        "data": data,
        "snippet": _snippet([texts[name] for name in matched if name in texts], pattern),
        "categories": [table],
    }


def _snippet(texts: Sequence[str], pattern: re.Pattern[str]) -> str:
    best = max(texts, key=len, default="")
    found = pattern.search(best)
    start = max(0, found.start() - _BEFORE_THE_WORD) if found else 0
    if start:
        start = best.find(" ", start) + 1 or start
    piece = " ".join(best[start : start + _SNIPPET_LENGTH].split())
    return f"{'…' if start else ''}{piece}{'…' if start + _SNIPPET_LENGTH < len(best) else ''}"
