"""Semantic mode: the best full-text matches, put in order by meaning as well as by words.

The two scores are joined by a convex combination of scores that are each brought to 0..1 with their theoretical least
value and their greatest observed one: "TM2C2" in S. Bruch, S. Gai, A. Ingber, "An Analysis of Fusion Functions for
Hybrid Retrieval", ACM TOIS 42 (2023), who found it better than reciprocal ranks and little sensitive to its weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import mul
from typing import TYPE_CHECKING

from search_api.ai.client import AiCaller
from search_api.ai.errors import AiUnavailableError, Reason
from search_api.services import Services

if TYPE_CHECKING:
    from search_api.search.run import Candidate

# Share of the meaning; the words have the rest. Known-item search over 63,666 descriptions of packages (78 asked for,
# three words each, all-MiniLM-L6-v2): 97.4 % in the first ten with any share up to 0.8, as without it; 59 % with
# meaning alone, 82 % with reciprocal ranks. The more meaning, the fewer are the very first: 74 % with 0, 72 % with 0.3,
# 65 % with 0.6.
MEANING = 0.3


@dataclass(frozen=True)
class Reranked:
    """``order`` holds the candidates' numbers, best first; ``scores`` their new scores in that order.

    The new scores fill the range of the old ones, so that matches beyond the candidates may follow with their own.
    """

    order: tuple[int, ...]
    scores: tuple[float, ...]
    degraded: Reason | None = None


class SemanticOrder:
    """One semantic search's order. ``degraded`` says after its use why the order is still that of the words."""

    def __init__(self, services: Services, caller: AiCaller, query: str, offset: int) -> None:
        self._services = services
        self._caller = caller
        self._query = query
        self._offset = offset
        self.degraded: Reason | None = None

    @property
    def may_improve(self) -> bool:
        """Whether the same search may do better in a moment: the AI is there and did not help this time."""
        return self.degraded is not None and self._services.ai.switched_on

    def __call__(self, candidates: list[Candidate]) -> list[Candidate]:
        """The best ones in semantic order, the others behind them as they were: every page sees the same order."""
        if not self._services.ai.switched_on:
            self.degraded = "ai_unavailable"
            return candidates
        number = self._services.settings.ai_candidates
        head, rest = candidates[:number], candidates[number:]
        if len(head) < 2 or self._offset >= len(head):
            return candidates  # nothing on this page can move
        made = rerank(self._services, self._caller, self._query, head)
        self.degraded = made.degraded
        moved = [
            replace(head[place], score=score) for place, score in zip(made.order, made.scores, strict=True)
        ]
        return [*moved, *rest]


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
