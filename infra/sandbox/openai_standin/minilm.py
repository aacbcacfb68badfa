"""The sentence model all-MiniLM-L6-v2 in numpy: a BERT of 6 layers, mean pooling, vectors of length 1.

Layers follow Devlin et al., "BERT" (2019), and the weights' own config.json; the pooling is that of the model's card.
Texts are not padded to one length: their tokens lie behind each other in one matrix, which saves half of the work.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

DIMENSIONS = 384
LONGEST = 256  # tokens of a text that count: max_seq_length of the model
_TOKENS_AT_ONCE = 2048  # bounds the memory of one pass to about 60 MB
_ROWS_IN_CACHE = 32  # of 1536 numbers: the element-wise steps stay in the processor's second cache


class MiniLM:
    """The loaded model: about 90 MB of memory."""

    def __init__(self, folder: Path) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        shape = json.loads((folder / "config.json").read_text())
        self._layers = int(shape["num_hidden_layers"])
        self._heads = int(shape["num_attention_heads"])
        self._epsilon = np.float32(shape["layer_norm_eps"])
        self._weights: dict[str, Matrix] = load_file(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(LONGEST)

    def embed(self, texts: Sequence[str]) -> tuple[Matrix, list[int]]:
        """One row of length 1 for each text, and the number of tokens of each."""
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        rows: list[Matrix] = []
        batch: list[list[int]] = []
        for ids in tokens:
            if batch and sum(map(len, batch)) + len(ids) > _TOKENS_AT_ONCE:
                rows.append(self._forward(batch))
                batch = []
            batch.append(ids)
        rows.append(self._forward(batch))
        return np.concatenate(rows), [len(ids) for ids in tokens]

    def _forward(self, batch: list[list[int]]) -> Matrix:
        ends = np.cumsum([len(ids) for ids in batch])
        texts = [slice(end - len(ids), end) for ids, end in zip(batch, ends, strict=True)]
        state = self._embedded(batch)
        for number in range(self._layers):
            state = self._layer(f"encoder.layer.{number}.", state, texts)
        pooled = np.stack([state[text].mean(axis=0) for text in texts])
        answer: Matrix = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return answer

    def _embedded(self, batch: list[list[int]]) -> Matrix:
        words = self._weights["embeddings.word_embeddings.weight"][np.concatenate(batch)]
        places = self._weights["embeddings.position_embeddings.weight"][
            np.concatenate([np.arange(len(ids)) for ids in batch])
        ]
        kind = self._weights["embeddings.token_type_embeddings.weight"][0]
        return self._normalised(words + places + kind, "embeddings.LayerNorm")

    def _layer(self, name: str, state: Matrix, texts: list[slice]) -> Matrix:
        seen = self._attention(name + "attention.self.", state, texts)
        seen = self._dense(seen, name + "attention.output.dense")
        state = self._normalised(state + seen, name + "attention.output.LayerNorm")
        wide = _gelu(self._dense(state, name + "intermediate.dense"))
        return self._normalised(state + self._dense(wide, name + "output.dense"), name + "output.LayerNorm")

    def _attention(self, name: str, state: Matrix, texts: list[slice]) -> Matrix:
        query, key, value = (self._dense(state, name + part) for part in ("query", "key", "value"))
        width = state.shape[1] // self._heads
        seen = np.empty_like(state)
        for text in texts:
            # heads first: (heads, tokens, width)
            q, k, v = (
                part[text].reshape(-1, self._heads, width).transpose(1, 0, 2) for part in (query, key, value)
            )
            weights = q @ k.transpose(0, 2, 1) / np.float32(np.sqrt(width))
            weights = np.exp(weights - weights.max(axis=-1, keepdims=True))
            weights /= weights.sum(axis=-1, keepdims=True)
            seen[text] = (weights @ v).transpose(1, 0, 2).reshape(-1, state.shape[1])
        return seen

    def _dense(self, state: Matrix, name: str) -> Matrix:
        answer: Matrix = state @ self._weights[name + ".weight"].T
        answer += self._weights[name + ".bias"]
        return answer

    def _normalised(self, state: Matrix, name: str) -> Matrix:
        state = state - state.mean(axis=1, keepdims=True)
        spread = np.sqrt(np.square(state).mean(axis=1, keepdims=True) + self._epsilon)
        answer: Matrix = state / spread * self._weights[name + ".weight"] + self._weights[name + ".bias"]
        return answer


def _gelu(x: Matrix) -> Matrix:
    """x · Φ(x), with erf by Abramowitz & Stegun 7.1.26 (error below 2e-7): numpy has no erf."""
    answer = np.empty_like(x)
    for start in range(0, len(x), _ROWS_IN_CACHE):
        rows = slice(start, start + _ROWS_IN_CACHE)
        size = np.abs(x[rows])
        root = size * np.float32(0.7071067811865476)
        t = root * np.float32(0.3275911)
        t += 1
        np.reciprocal(t, out=t)
        tail = t * np.float32(1.061405429)
        for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
            tail += np.float32(factor)
            tail *= t
        np.square(root, out=root)
        np.negative(root, out=root)
        tail *= np.exp(root, out=root)  # 1 - erf(|x|/√2)
        tail *= size
        tail *= np.float32(0.5)
        np.subtract(np.maximum(x[rows], 0), tail, out=answer[rows])
    return answer
