"""In how many rows of a table a word is: asked of its index once and remembered a while, in this process."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from search_api.customer.pools import Row
from search_api.search.conditions import Sql
from search_api.search.statements import TableSearch

_MOST_KEPT = 50_000
_MOST_ASKED = 10  # words of one query; more of them tell little and cost a look into the index each


class Frequencies:
    """Counts by connection, table and word; ``seconds`` is how long one is believed."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._kept: OrderedDict[tuple[str, str, tuple[str, ...], str], tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def read(
        self, key: str, search: TableSearch, words: Sequence[str], run: Callable[[Sql], list[Row]]
    ) -> dict[str, int]:
        """The number of rows for each of the first few words. Raises what ``run`` raises."""
        columns = max((index.columns for index in search.indexes), key=len)
        names = {word: (key, search.table.name, columns, word) for word in words[:_MOST_ASKED]}
        moment = time.monotonic()
        with self._lock:
            kept = {word: self._kept[name] for word, name in names.items() if name in self._kept}
        found = {word: count for word, (until, count) in kept.items() if until > moment}
        missing = [word for word in names if word not in found]
        if missing:
            row = run(search.frequencies(missing))[0]
            fresh = {word: int(row[f"n{number}"]) for number, word in enumerate(missing)}
            self._keep({names[word]: (moment + self._seconds, count) for word, count in fresh.items()})
            found |= fresh
        return found

    def _keep(self, fresh: dict[tuple[str, str, tuple[str, ...], str], tuple[float, int]]) -> None:
        with self._lock:
            for name, entry in fresh.items():
                self._kept[name] = entry
                self._kept.move_to_end(name)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
