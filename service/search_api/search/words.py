"""Finds the terms of a query in text, as the indexes of MySQL compare words: whole, without case and accents."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

from search_api.search.query import Term


class WordFinder:
    """Looks for terms. Terms that no index knows count only when there are no others."""

    def __init__(self, terms: Sequence[Term]) -> None:
        known = {term.text: term for term in terms if term.is_indexed} or {term.text: term for term in terms}
        self.terms = tuple(known.values())
        # Longer ones first, so that a phrase is seen before a word that it begins with.
        order = sorted(range(len(self.terms)), key=lambda number: -len(self.terms[number].text))
        self._numbers = order
        # Every row of a window is counted in: single words without the machinery of expressions.
        self._each = [
            folded(term.words[0])
            if len(term.words) == 1 and not term.is_prefix
            else re.compile(rf"(?<!\w){_expression(term)}")
            for term in self.terms
        ]
        each = [f"({_expression(self.terms[number])})" for number in order]
        self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(each)})" if each else "(?!)")

    def counts(self, text: str) -> list[int]:
        """How often each term is in the text."""
        text = folded(text)
        return [
            len(each.findall(text)) if isinstance(each, re.Pattern) else _count(text, each)
            for each in self._each
        ]

    def is_in(self, text: str) -> bool:
        """Whether any term is in the text."""
        return self._pattern.search(folded(text)) is not None

    def places(self, text: str) -> Iterator[tuple[int, int, int]]:
        """Number of the term, start and end of each place where one is."""
        for match in self._pattern.finditer(folded(text)):
            yield self._numbers[(match.lastindex or 1) - 1], match.start(), match.end()


def folded(text: str) -> str:
    """The text in lower case without accents, character for character, so that places stay the same."""
    if text.isascii():
        return text.lower()
    return "".join(map(_fold, text))


@lru_cache(maxsize=4096)
def _fold(character: str) -> str:
    return unicodedata.normalize("NFD", character)[0].lower()[:1] or character


def _count(text: str, word: str) -> int:
    found, at, length = 0, text.find(word), len(word)
    while at >= 0:
        after = at + length
        found += not (_is_word(text[at - 1 : at]) or _is_word(text[after : after + 1]))
        at = text.find(word, after)
    return found


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _expression(term: Term) -> str:
    words = r"\W+".join(re.escape(folded(word)) for word in term.words)
    return words + (r"\w*" if term.is_prefix else r"(?!\w)")
