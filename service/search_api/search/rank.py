"""One order over all tables and databases: the same measure for each row, whatever its table's size and server.

MySQL's own scores depend on the size of the table (InnoDB: frequency times squared inverse document frequency, without
regard to length), so they only choose which rows are looked at: of each table the first ``WINDOW``, rows with all words
first. Those rows are scored here by Okapi BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25
and Beyond", 2009) with the document frequencies of all searched tables taken together, as distributed engines do before
they merge, and with more weight on titles (the paper's BM25F). Divided by the highest score that the query allows, it
lies between 0 and 1; rows with all words take the upper half. Rows behind the window follow in MySQL's order.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search_api.customer.schema import Table
from search_api.search.one_database import WINDOW, Hit, TableFound
from search_api.search.query import Term, words_in
from search_api.search.words import WordFinder, folded

_K1, _B = 1.2, 0.75  # the paper's usual values
_TITLE_WEIGHT = 3.0
_OPERATOR_WEIGHTS = {">": 1.5, "<": 0.5, "~": -0.5}
_TITLE_NAMES = {"title", "name", "subject", "headline", "heading", "label", "caption"}
_SHORT_TYPES = {"char", "varchar", "tinytext"}


@dataclass(frozen=True)
class Weights:
    """What each term of the query is worth over all searched tables, and how long the texts in their windows are."""

    finder: WordFinder
    each: tuple[float, ...]
    required: tuple[bool, ...]
    mean_length: float

    @property
    def highest(self) -> float:
        """More than any row can score."""
        return sum(max(weight, 0.0) for weight in self.each) * (_K1 + 1) or 1.0


def weights_of(terms: Sequence[Term], tables: Sequence[TableFound]) -> Weights:
    """Inverse document frequencies, times the weight of the term's operator."""
    finder = WordFinder(terms)
    rows = sum(table.rows for table in tables if table.frequencies)
    weights, required = [], []
    for term in finder.terms:
        known = [table.frequencies[term.text] for table in tables if term.text in table.frequencies]
        frequency = sum(known)
        rare = math.log(1 + (max(rows, frequency) - frequency + 0.5) / (frequency + 0.5)) if known else 1.0
        weights.append(rare * _OPERATOR_WEIGHTS.get(term.operator, 1.0))
        # A word that is nowhere does not make every row an incomplete one.
        required.append(term.operator != "~" and (frequency > 0 or not known))
    lengths = [_length(hit) for table in tables for hit in table.hits[:WINDOW]]
    return Weights(finder, tuple(weights), tuple(required), sum(lengths) / max(len(lengths), 1) or 1.0)


def relevances(found: TableFound, weights: Weights) -> list[float]:
    """A relevance between 0 and 1 for each hit of a table: a higher one is better, whatever the table."""
    titles = title_columns(found.search.table, found.search.columns)
    marks = [_relevance(hit, weights, titles) for hit in found.hits[:WINDOW]]
    return marks + _behind(found.hits[WINDOW:], min(marks, default=0.0))


def title_columns(table: Table, columns: Sequence[str]) -> set[str]:
    """Columns that name a row: by their own name, if they are short text."""
    types = {column.name: column.type for column in table.columns}
    return {name for name in columns if name.lower() in _TITLE_NAMES and types[name] in _SHORT_TYPES}


def _length(hit: Hit) -> int:
    return sum(map(len, hit.searched_texts.values()))


def _relevance(hit: Hit, weights: Weights, titles: set[str]) -> float:
    counts = {name: weights.finder.counts(text) for name, text in hit.searched_texts.items()}
    length = _length(hit) / weights.mean_length
    score, complete = 0.0, True
    for number, weight in enumerate(weights.each):
        frequency = sum(
            found[number] * (_TITLE_WEIGHT if name in titles else 1.0) for name, found in counts.items()
        )
        score += weight * frequency * (_K1 + 1) / (frequency + _K1 * (1 - _B + _B * length))
        complete = complete and (frequency > 0 or not weights.required[number])
    share = min(max(score / weights.highest, 0.0), 1.0)
    if titles and _is_title(hit, weights.finder, titles):
        share = (1 + share) / 2
    # What is beyond the text that was read counts too, where the index says that it is there.
    complete = complete or (hit.full and hit.search.exact)
    return (1 + share) / 2 if complete else share / 2


def _is_title(hit: Hit, finder: WordFinder, titles: set[str]) -> bool:
    asked = [word for term in finder.terms for word in map(folded, term.words)]
    texts = hit.searched_texts
    return any(words_in(folded(texts.get(name, ""))) == asked for name in titles)


def _behind(hits: Sequence[Hit], lowest: float) -> list[float]:
    """Falling from the window's lowest, by place alone, so that any page sees the same order."""
    marks = []
    for hit in hits:
        floor = 0.5 if hit.full and lowest > 0.5 else 0.0
        top = lowest if hit.full else min(lowest, 0.5)
        marks.append(floor + (top - floor) * WINDOW / (hit.position + 1))
    return marks
