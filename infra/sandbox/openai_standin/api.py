"""The stand-in's answers, in the shapes of OpenAI's API reference; no network here."""

import base64
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from infra.sandbox.openai_standin.embedding import Embedder, Vector

CHAT_MODEL = "standin-chat"
_MOST_INPUTS = 2048


class RefusedError(Exception):
    """A request that the API refuses, with its HTTP status."""

    def __init__(self, status: int, message: str, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(message, code)


@dataclass
class Answer:
    """The body of a good answer, what it charges, and the number of inputs."""

    body: dict[str, Any]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    inputs: int = 0


def error_body(message: str, code: str) -> dict[str, Any]:
    """An error as the API words it."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


def models(embedder: Embedder) -> Answer:
    """GET /v1/models."""
    names = (embedder.model, CHAT_MODEL)
    entries = [{"id": name, "object": "model", "created": 0, "owned_by": "launchgate"} for name in names]
    return Answer({"object": "list", "data": entries})


def embeddings(asked: dict[str, Any], embedder: Embedder) -> Answer:
    """POST /v1/embeddings. Raises RefusedError."""
    _require_model(asked, embedder.model)
    given = asked.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise RefusedError(400, "input must be a text or a list of texts, none empty", "invalid_input")
    if not 1 <= len(texts) <= _MOST_INPUTS:
        raise RefusedError(400, f"input must hold 1 to {_MOST_INPUTS} texts", "invalid_input")
    made = embedder.embed(texts)
    shape = _packed if asked.get("encoding_format") == "base64" else _listed
    data = [
        {"object": "embedding", "index": number, "embedding": shape(vector)}
        for number, (vector, _) in enumerate(made)
    ]
    tokens = sum(number for _, number in made)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    body = {"object": "list", "data": data, "model": embedder.model, "usage": usage}
    return Answer(body, tokens, 0, len(texts))


def chat(asked: dict[str, Any]) -> Answer:
    """POST /v1/chat/completions: other orders of the last message's words, as a JSON list. Raises RefusedError."""
    _require_model(asked, CHAT_MODEL)
    messages = asked.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RefusedError(400, "messages must be a list of messages", "invalid_input")
    given = [message.get("content") if isinstance(message, dict) else None for message in messages]
    contents = [content for content in given if isinstance(content, str)]
    if len(contents) < len(given):
        raise RefusedError(400, "every message has a text as its content", "invalid_input")
    words = re.findall(r"\w+", contents[-1])
    wordings = dict.fromkeys([" ".join(reversed(words)), " ".join(sorted(words, key=len, reverse=True)[:3])])
    written = "[" + ", ".join(f'"{wording}"' for wording in wordings) + "]"
    sent, made = (max(1, len(re.findall(r"\w+", text))) for text in (" ".join(contents), written))
    choice = {"index": 0, "message": {"role": "assistant", "content": written}, "finish_reason": "stop"}
    usage = {"prompt_tokens": sent, "completion_tokens": made, "total_tokens": sent + made}
    body = {
        "id": "chatcmpl-standin",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": CHAT_MODEL,
        "choices": [choice],
        "usage": usage,
    }
    return Answer(body, sent, made, len(messages))


def spoilt(answer: Answer, kind: str) -> Answer:
    """The answer with one of the faults that look like answers."""
    data = answer.body.get("data")
    if not isinstance(data, list) or not data or "embedding" not in data[0]:
        if kind in ("wrong_dimensions", "not_a_number", "wrong_count"):
            answer.body["choices"] = []
        return answer
    if kind == "wrong_count":
        data.pop()
    for entry in data:
        if kind == "wrong_dimensions":
            entry["embedding"] = entry["embedding"][:-1]
        elif kind == "not_a_number":
            entry["embedding"] = [float("nan"), *entry["embedding"][1:]]
    return answer


def _require_model(asked: dict[str, Any], known: str) -> None:
    if asked.get("model") != known:
        raise RefusedError(
            404, f"The model {asked.get('model')!r} does not exist; use {known}", "model_not_found"
        )


def _listed(vector: Sequence[float]) -> list[float]:
    return [round(number, 8) for number in vector]


def _packed(vector: Vector) -> str:
    return base64.b64encode(vector.tobytes()).decode()
