"""What users look for: words of the corpus, few of them often and many of them seldom (Zipf)."""

from __future__ import annotations

import bisect
import itertools
import random
from functools import cache
from pathlib import Path

WORDS_FILE = Path(__file__).with_name("words.txt")
ZIPF_EXPONENT = 1.0
# How many words a query has: most people type one or two.
QUERY_LENGTHS = (1, 2, 3)
QUERY_LENGTH_WEIGHTS = (55, 35, 10)


@cache
def words() -> tuple[str, ...]:
    """The words, most searched first."""
    lines = WORDS_FILE.read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


@cache
def _cumulative() -> tuple[float, ...]:
    return tuple(itertools.accumulate(1 / rank**ZIPF_EXPONENT for rank in range(1, len(words()) + 1)))


def word(rng: random.Random) -> str:
    """One word, the n-th of the list about 1/n as often as the first."""
    cumulative = _cumulative()
    return words()[bisect.bisect_left(cumulative, rng.random() * cumulative[-1])]


def query(rng: random.Random) -> str:
    """A search of one to three different words."""
    length = rng.choices(QUERY_LENGTHS, QUERY_LENGTH_WEIGHTS)[0]
    chosen: dict[str, None] = {}
    while len(chosen) < length:
        chosen[word(rng)] = None
    return " ".join(chosen)
