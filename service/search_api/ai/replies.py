"""Reads replies of the AI and believes nothing: what is not exactly as it must be is nonsense."""

import math
from array import array
from collections.abc import Sequence
from typing import Annotated, TypeAlias, TypeVar

from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from search_api.ai.errors import FailedCallError, Tokens

Vector: TypeAlias = "array[float]"  # of C floats, length 1
_COUNT = Annotated[int, Field(ge=0, le=2**31 - 1)]


class _Usage(BaseModel):
    prompt_tokens: _COUNT
    completion_tokens: _COUNT = 0


class _Paid(BaseModel):
    usage: _Usage


_Reply = TypeVar("_Reply", bound=_Paid)


class _Embedding(BaseModel):
    index: int
    embedding: list[FiniteFloat]


class _Embeddings(_Paid):
    data: list[_Embedding]


class _Message(BaseModel):
    content: str


class _Choice(BaseModel):
    message: _Message


class _Chat(_Paid):
    choices: Annotated[list[_Choice], Field(min_length=1)]


def read_embeddings(body: bytes, texts: Sequence[str], dimensions: int) -> tuple[list[Vector], Tokens]:
    """One vector of length 1 for each text, in the texts' order. Raises FailedCallError."""
    reply, tokens = _read(body, _Embeddings)
    vectors: dict[int, Vector] = {}
    for entry in reply.data:
        length = math.sqrt(sum(number * number for number in entry.embedding))
        if len(entry.embedding) != dimensions or not 0 < length < math.inf:
            raise FailedCallError("nonsense", tokens=tokens)
        vectors[entry.index] = array("f", [number / length for number in entry.embedding])
    if len(reply.data) != len(texts) or set(vectors) != set(range(len(texts))):
        raise FailedCallError("nonsense", tokens=tokens)
    return [vectors[number] for number in range(len(texts))], tokens


def read_chat(body: bytes) -> tuple[str, Tokens]:
    """What the AI wrote. Raises FailedCallError."""
    reply, tokens = _read(body, _Chat)
    return reply.choices[0].message.content, tokens


def _read(body: bytes, model: type[_Reply]) -> tuple[_Reply, Tokens]:
    try:
        reply = model.model_validate_json(body)
    except ValidationError:
        raise FailedCallError("nonsense", tokens=_tokens_at_least(body)) from None
    return reply, Tokens(reply.usage.prompt_tokens, reply.usage.completion_tokens)


def _tokens_at_least(body: bytes) -> Tokens:
    """What a reply that is wrong elsewhere says it cost: it is billed all the same."""
    try:
        usage = _Paid.model_validate_json(body).usage
    except ValidationError:
        return Tokens()
    return Tokens(usage.prompt_tokens, usage.completion_tokens)
