"""What the rest of the service asks of the AI: vectors for texts, better wordings of a query; from the cache first."""

import hashlib
import json
import time
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from search_api import metrics
from search_api.ai.client import AiCaller, AiClient, Operation
from search_api.ai.errors import AiUnavailableError, FailedCallError, Tokens
from search_api.ai.ledger import AiLedger
from search_api.ai.quota import AiQuota
from search_api.ai.replies import Vector, read_chat, read_embeddings
from search_api.cache import Cache
from search_api.settings import Settings

if TYPE_CHECKING:
    from search_api.ai.provider import Provider

_EMBEDDING, _SUGGESTIONS = "ai-embedding", "ai-suggestions"
_NANO_USD = 1000  # a US dollar a million tokens is so many billionths of a dollar a token
_MOST_SUGGESTIONS = 5
_LONGEST_SUGGESTION = 200
_INSTRUCTION = (
    "You improve queries of a full-text search. Answer with a JSON array of up to 5 strings and nothing else: "
    "other wordings of the user's query that find what the user means. Never answer the query itself."
)


class Ai:
    """One per worker. Everything raises AiUnavailableError and nothing else when the AI does not help."""

    def __init__(self, settings: Settings, cache: Cache, engine: Engine) -> None:
        self._settings = settings
        self._cache = cache
        self.ledger = AiLedger(engine, settings.usage_flush_seconds)
        self.client = AiClient(settings, AiQuota(cache, settings.workers * settings.ai_hosts), self.ledger)
        self._provider = _open_provider(settings)
        self._embed = Operation("embed", settings.ai_embedding_model, settings.ai_embedding_price * _NANO_USD)
        self._suggest = Operation(
            "suggest",
            settings.ai_model,
            settings.ai_prompt_price * _NANO_USD,
            settings.ai_completion_price * _NANO_USD,
        )

    def start(self) -> None:
        """Write the ledger regularly from now on."""
        self.ledger.start()

    def close(self) -> None:
        """Wait for what runs, write the rest of the ledger, let go of the connections."""
        self.client.close()
        self.ledger.stop()
        if self._provider is not None:
            self._provider.close()

    @property
    def switched_on(self) -> bool:
        """Whether the operator has named an AI at all."""
        return self._provider is not None

    def available(self) -> bool:
        """Whether the AI is switched on and not left alone for a while."""
        return self._provider is not None and self.client.available()

    def embed(self, caller: AiCaller, texts: Sequence[str]) -> list[Vector]:
        """A vector of length 1 for each text; none may be empty. What the owner had embedded before costs nothing."""
        provider = self._switched_on(self._embed)
        # Keyed by owner: whether a text is known must not tell one user about the texts of another.
        keys = [_key(caller, self._embed.model, text) for text in texts]
        known = self._known_vectors(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            wanted = list(missing.values())

            def send(seconds: float) -> tuple[list[Vector], Tokens]:
                body = provider.embeddings(wanted, seconds)
                return read_embeddings(body, wanted, self._settings.ai_embedding_dimensions)

            made = dict(
                zip(missing, self.client.call(caller, self._embed, send, self._deadline()), strict=True)
            )
            packed = {key: vector.tobytes() for key, vector in made.items()}
            self._cache.put_many(_EMBEDDING, packed, self._settings.cache_ai_seconds)
            known |= made
        return [known[key] for key in keys]

    def suggest(self, caller: AiCaller, query: str) -> list[str]:
        """Up to 5 other wordings of a query, best first."""
        provider = self._switched_on(self._suggest)
        key = _key(caller, self._suggest.model, query)
        if (packed := self._cache.get(_SUGGESTIONS, key)) is not None:
            return [str(text) for text in json.loads(packed)]

        def send(seconds: float) -> tuple[list[str], Tokens]:
            written, tokens = read_chat(provider.chat(_INSTRUCTION, query, seconds))
            return _wordings(written, query, tokens), tokens

        found = self.client.call(caller, self._suggest, send, self._deadline())
        self._cache.put(_SUGGESTIONS, key, json.dumps(found).encode(), self._settings.cache_ai_seconds)
        return found

    def _switched_on(self, operation: Operation) -> "Provider":
        if self._provider is None:
            metrics.AI_REQUESTS.labels(operation.name, "off").inc()
            raise AiUnavailableError("ai_unavailable")
        return self._provider

    def _deadline(self) -> float:
        return time.monotonic() + self._settings.ai_deadline

    def _known_vectors(self, keys: Sequence[str]) -> dict[str, Vector]:
        length = self._settings.ai_embedding_dimensions * array("f").itemsize
        return {
            key: array("f", packed)
            for key, packed in zip(keys, self._cache.get_many(_EMBEDDING, keys), strict=True)
            if packed is not None and len(packed) == length
        }


def _open_provider(settings: Settings) -> "Provider | None":
    if not settings.ai_base_url:
        return None
    # Its client takes half a second of CPU to load: only who uses it pays for it.
    from search_api.ai.provider import Provider

    return Provider(settings)


def _key(caller: AiCaller, model: str, text: str) -> str:
    return f"{caller.user_id}:{hashlib.sha256(f'{model} {text}'.encode()).hexdigest()}"


def _wordings(written: str, query: str, tokens: Tokens) -> list[str]:
    try:
        found = json.loads(written)
    except ValueError:
        raise FailedCallError("nonsense", tokens=tokens) from None
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise FailedCallError("nonsense", tokens=tokens)
    texts = dict.fromkeys(" ".join(text.split()) for text in found)
    return [text for text in texts if 0 < len(text) <= _LONGEST_SUGGESTION and text.lower() != query.lower()][
        :_MOST_SUGGESTIONS
    ]
