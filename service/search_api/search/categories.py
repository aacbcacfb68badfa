"""Categories of a whole result, not of one page: by a column such as ``section`` where a table has one, else by table.

A column tells rows apart when it is named like one (``section``, ``category``, ``type``, …), is short text, and has no
more than 50 different values among the matches; otherwise the table's name is the category. ``count`` is the number of
matches; ``confidence`` is its share of all matches of the search.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from search_api.search.one_database import Hit, TableFound

_MOST_VALUES = 50
_MOST_SHOWN = 20


def categories_of(tables: Sequence[TableFound]) -> list[dict[str, Any]]:
    """``[{name, count, confidence}]``, the largest first."""
    counts: Counter[str] = Counter()
    for table in tables:
        if is_by_column(table):
            for value, number in table.categories.items():
                counts[value or table.search.table.name] += number
        elif table.total:
            counts[table.search.table.name] += table.total
    total = counts.total()
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [
        {"name": name, "count": count, "confidence": round(count / total, 4)}
        for name, count in ranked[:_MOST_SHOWN]
    ]


def category_of(table: TableFound, hit: Hit) -> str:
    """The category of one match."""
    name = table.search.category_column
    value = (hit.texts or hit.row or {}).get(name) if name is not None and is_by_column(table) else None
    return value if isinstance(value, str) and value else table.search.table.name


def is_by_column(table: TableFound) -> bool:
    """Whether a column tells this table's matches apart."""
    return 0 < len(table.categories) <= _MOST_VALUES
