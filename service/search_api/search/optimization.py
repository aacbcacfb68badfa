"""What was done with a query, and what else could be asked when little was found."""

from collections.abc import Callable
from typing import Any

from search_api.search.one_database import Ask, TableFound
from search_api.search.query import not_indexed_reason, terms_of, top_level_text, words_in
from search_api.search.vocabulary import Vocabulary

FEW = 5  # matches; with fewer the answer makes suggestions
_SELDOM = 2
_MOST_WORDS = 8  # of a query, that are looked up in the vocabulary
_MOST_SUGGESTIONS = 5


def explain_query(
    query: str, ask: Ask, tables: list[TableFound], total: int, vocabulary: Callable[[], Vocabulary]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """``queryOptimization`` and ``suggestions`` of an answer.

    The first: ``{originalQuery, optimizedQuery, mode, droppedWords:[{word,reason}],
    unknownWords:[{word,suggestions}]}``;
    a word is dropped because no index holds it (``stop_word``, ``too_short``) and unknown when no searched index does.
    The vocabulary is only read when there is a word to look up.
    """
    words = list(dict.fromkeys(word.lower() for term in terms_of(ask.query) for word in term.words))
    by_index = any(not table.search.by_like for table in tables)
    dropped = [
        {"word": word, "reason": reason}
        for word in words
        if by_index and (reason := not_indexed_reason(word)) is not None
    ]
    counts = _counts(tables)
    unknown = [word for word, number in counts.items() if number == 0 and word in words][:_MOST_WORDS]
    seldom = [word for word, number in counts.items() if 0 < number <= _SELDOM and word in words]
    asked = unknown + (seldom[: _MOST_WORDS - len(unknown)] if total < FEW else [])
    near = {}
    if asked:
        known = vocabulary()
        near = {word: known.near(word) for word in asked}
    explained = {
        "originalQuery": query,
        "optimizedQuery": top_level_text(ask.query),
        "mode": ask.mode,
        "droppedWords": dropped,
        "unknownWords": [{"word": word, "suggestions": [text for text, _ in near[word]]} for word in unknown],
    }
    return explained, corrected(query, near) if total < FEW else []


def corrected(query: str, near: dict[str, list[tuple[str, float]]]) -> list[dict[str, Any]]:
    """The query with its words replaced by near ones: ``[{text, score, type}]``, the likeliest first.

    The first entry takes the best for every word; the others change one word each.
    """
    best = {word: found[0] for word, found in near.items() if found}
    if not best:
        return []
    scores = [score for _, score in best.values()]
    made = {_replaced(query, {word: text for word, (text, _) in best.items()}): min(scores)}
    for word, found in near.items():
        for text, score in found:
            changed = {other: new for other, (new, _) in best.items()} | {word: text}
            made.setdefault(_replaced(query, changed), round(score * 0.9, 4))
    ranked = sorted(made.items(), key=lambda item: -item[1])
    return [
        {"text": text, "score": score, "type": "spelling"}
        for text, score in ranked[:_MOST_SUGGESTIONS]
        if text.lower() != query.lower()
    ]


def _replaced(query: str, changes: dict[str, str]) -> str:
    text, at = "", 0
    for word in words_in(query):
        place = query.index(word, at)
        text += query[at:place] + changes.get(word.lower(), word)
        at = place + len(word)
    return text + query[at:]


def _counts(tables: list[TableFound]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for table in tables:
        for word, number in table.frequencies.items():
            counts[word] = counts.get(word, 0) + number
    return counts
