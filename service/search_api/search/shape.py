"""A row of a user's table as a result of a search: JSON values, the columns that matched, a snippet."""

import html
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from search_api.customer.pools import Row
from search_api.search.words import WordFinder, folded

_SNIPPET_LENGTH = 200
_BEFORE_THE_WORD = 60
_MOST_PLACES = 200


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


def shape_result(
    *,
    database_id: str,
    table: str,
    key: Sequence[object],
    score: float,
    row: Row,
    columns: Sequence[str],
    finder: WordFinder,
    by_like: bool,
    category: str,
) -> dict[str, Any]:
    """One entry of ``results``. ``score`` is the relevance between 0 and 1."""
    data = {name: json_value(value) for name, value in row.items()}
    texts = {name: value for name in columns if isinstance(value := data.get(name), str)}
    matched = _matched(texts, columns, finder, by_like=by_like)
    return {
        "id": f"{table}:{','.join(str(json_value(value)) for value in key)}",
        "table": table,
        "database": database_id,
        "relevanceScore": round(score, 6),
        "matchedColumns": matched,
        "data": data,
        "snippet": snippet(
            [texts[name] for name in matched if name in texts] or list(texts.values()), finder
        ),
        "categories": [category],
    }


def snippet(texts: Sequence[str], finder: WordFinder) -> str:
    """A piece of the longest text around most of the words: HTML, escaped, each match in ``<mark>``."""
    best = max(texts, key=len, default="")
    places = [place for place, _ in zip(finder.places(best), range(_MOST_PLACES), strict=False)]
    start = _start(best, places)
    end = min(start + _SNIPPET_LENGTH, len(best))
    pieces, at = [], start
    for _, first, last in places:
        if at <= first and last <= end:
            pieces += [html.escape(best[at:first]), "<mark>", html.escape(best[first:last]), "</mark>"]
            at = last
    pieces.append(html.escape(best[at:end]))
    piece = " ".join("".join(pieces).split())
    return f"{'…' if start else ''}{piece}{'…' if end < len(best) else ''}"


def _start(text: str, places: Sequence[tuple[int, int, int]]) -> int:
    """Where to begin, so that as many different words as possible are shown; the first such place."""
    most, chosen = 0, 0
    for index, (_, first, _last) in enumerate(places):
        begin = max(0, first - _BEFORE_THE_WORD)
        shown = {number for number, _, last in places[index:] if last <= begin + _SNIPPET_LENGTH}
        if len(shown) > most:
            most, chosen = len(shown), begin
    return (text.find(" ", chosen, chosen + _BEFORE_THE_WORD) + 1 or chosen) if chosen else 0


def _matched(
    texts: dict[str, str], columns: Sequence[str], finder: WordFinder, *, by_like: bool
) -> list[str]:
    matched = [name for name, value in texts.items() if finder.is_in(value)]
    if not matched and by_like:
        # LIKE finds words inside of words too.
        inside = [" ".join(folded(word) for word in term.words) for term in finder.terms]
        matched = [name for name, value in texts.items() if any(part in folded(value) for part in inside)]
    # What matched may lie beyond the part of the text that is shown; with one column there is no doubt.
    return matched or (list(columns) if len(columns) == 1 else [])
