"""Semantic mode: the best full-text matches, put in order by meaning as well as by words.

The two scores are joined by a convex combination of scores that are each brought to 0..1 with their theoretical least
value and their greatest observed one: "TM2C2" in S. Bruch, S. Gai, A. Ingber, "An Analysis of Fusion Functions for
Hybrid Retrieval", ACM TOIS 42 (2023), who found it better than reciprocal ranks and little sensitive to its weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

from search_api.ai.client import AiCaller
from search_api.ai.errors import AiUnavailableError, Reason
from search_api.services import Services

# Share of the meaning; the words have the rest.
MEANING = 0.5


@dataclass(frozen=True)
class Candidate:
    """A full-text match: its score, which is 0 or more, and its text, which may be empty."""

    score: float
    text: str


@dataclass(frozen=True)
class Reranked:
    """``order`` holds the candidates' numbers, best first; ``scores`` their new scores in that order.

    The new scores fill the range of the old ones, so that matches beyond the candidates may follow with their own.
    """

    order: tuple[int, ...]
    scores: tuple[float, ...]
    degraded: Reason | None = None


@dataclass(frozen=True)
class Semantic:
    """A semantic search: who asks what, and how many of the best full-text matches are put in order."""

    caller: AiCaller
    query: str
    candidates: int

    def rerank(self, services: Services, candidates: Sequence[Candidate]) -> Reranked:
        """As the function of this name."""
        return rerank(services, self.caller, self.query, candidates)


def rerank(
    services: Services, caller: AiCaller, query: str, page_candidates: Sequence[Candidate]
) -> Reranked:
    """The candidates in semantic order; in their own, with the reason, when the AI does not help. Never raises."""
    longest = services.settings.ai_document_chars
    texts = [" ".join(candidate.text.split())[:longest].strip() for candidate in page_candidates]
    try:
        vectors = services.ai.embed(caller, [" ".join(query.split()), *filter(None, texts)])
    except AiUnavailableError as error:
        return Reranked(
            tuple(range(len(page_candidates))),
            tuple(candidate.score for candidate in page_candidates),
            error.reason,
        )
    asked, *rest = vectors
    answers = iter(rest)
    closeness = [sum(map(mul, asked, next(answers))) if text else -1.0 for text in texts]
    joined = _joined([candidate.score for candidate in page_candidates], closeness)
    # Equal ones keep the order of the words, so that every page sees the same order.
    order = tuple(sorted(range(len(joined)), key=lambda number: (-joined[number], number)))
    return Reranked(order, _spread([joined[number] for number in order], page_candidates))


def _joined(words: Sequence[float], closeness: Sequence[float]) -> list[float]:
    """Each candidate's score between 0 and 1. The least value of a cosine is -1, of a full-text score 0."""
    most_words = max(words, default=0.0) or 1.0
    most_meaning = max(closeness, default=0.0) + 1 or 1.0
    return [
        MEANING * (cosine + 1) / most_meaning + (1 - MEANING) * score / most_words
        for score, cosine in zip(words, closeness, strict=True)
    ]


def _spread(joined: Sequence[float], candidates: Sequence[Candidate]) -> tuple[float, ...]:
    low = min((candidate.score for candidate in candidates), default=0.0)
    high = max((candidate.score for candidate in candidates), default=0.0)
    return tuple(low + (high - low) * score for score in joined)
