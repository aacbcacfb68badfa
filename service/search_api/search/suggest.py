"""GET search/suggestions: other queries that the user may mean."""

from collections.abc import Collection, Sequence
from typing import Any

from search_api.connections import choose_connections, list_connections
from search_api.search.optimization import corrected
from search_api.search.popular import popular_like
from search_api.search.query import not_indexed_reason, words_in
from search_api.services import Services

_MOST = 10
_MOST_WORDS = 8


def suggest(
    services: Services,
    user_id: str,
    query: str,
    databases: Sequence[str] | None,
    tables: Collection[str] | None,
) -> list[dict[str, Any]]:
    """``[{text, score, type}]``, best first: corrections and continuations by the corpus's own words (``spelling``) and
    the owner's own frequent searches (``popular``). Raises 404 CONNECTION_NOT_FOUND for a database that is not theirs.
    """
    with services.session() as session:
        rows = choose_connections(list_connections(session, user_id), databases)
    found = [*_popular(services, user_id, query), *_spelling(services, rows, query, tables)]
    best: dict[str, dict[str, Any]] = {}
    for one in sorted(found, key=lambda one: -one["score"]):
        best.setdefault(one["text"].lower(), one)
    return list(best.values())[:_MOST]


def _popular(services: Services, user_id: str, query: str) -> list[dict[str, Any]]:
    found = popular_like(services, user_id, query, _MOST)
    most = max((number for _, number in found), default=1)
    return [
        {"text": text, "score": round(number / most, 4), "type": "popular"}
        for text, number in found
        if text.lower() != query.lower()
    ]


def _spelling(
    services: Services, rows: Sequence[Any], query: str, tables: Collection[str] | None
) -> list[dict[str, Any]]:
    words = [word for word in words_in(query) if not_indexed_reason(word) is None][:_MOST_WORDS]
    if not words or not rows:
        return []
    vocabulary = services.vocabularies.read(rows, tables)
    strange = [word.lower() for word in words if word.lower() not in vocabulary.words]
    made = corrected(query, {word: vocabulary.near(word) for word in strange})
    last = words_in(query)[-1]
    if query.endswith(last) and not_indexed_reason(last) is None:
        for place, longer in enumerate(vocabulary.beginning_with(last)):
            text = query[: -len(last)] + longer
            made.append({"text": text, "score": round(0.8 - place * 0.05, 4), "type": "spelling"})
    return made
