"""The stand-in for OpenAI: it is started and mended by fleets, speaks the API, and its vectors mean something."""

import json
import ssl
import urllib.error
import urllib.request
from array import array
from base64 import b64decode
from collections.abc import Iterator
from operator import mul
from pathlib import Path
from typing import Any

import pytest

from infra.sandbox import openai
from infra.sandbox.openai_standin.embedding import Remembering, Sentences, WordHashes
from infra.sandbox.processes import Running

ADDRESS = "127.83.1.9"  # a loopback address that no fleet uses
# The first numbers of the model's vectors as PyTorch 2.13 with transformers 5.23 computes them from the same weights.
REFERENCE = {
    "Debian package of a web server": [-0.031348, -0.002986, -0.014664, -0.138004, -0.011793, -0.087255],
    # longer than the 256 tokens that count
    "Ünïcödé, naïve café! " + "long text of many words " * 80: [
        0.003036, -0.054496, 0.054665, 0.020999, -0.064116, 0.005647,
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("fleet")
    try:
        yield folder
    finally:
        openai.end(folder)


@pytest.fixture
def standin(fleet: Path) -> openai.StandIn:
    return openai.open_on(ADDRESS, fleet)


def call(standin: openai.StandIn, token: str, path: str, body: Any = None) -> tuple[int, Any]:
    request = urllib.request.Request(  # noqa: S310 (https)
        standin.url.removesuffix("/v1") + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}"},
    )
    try:
        with urllib.request.urlopen(  # noqa: S310
            request, timeout=60, context=ssl.create_default_context(cafile=standin.ca_file)
        ) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def key_of(fleet: Path) -> str:
    return (fleet / "secrets/ai_api_key").read_text().strip()


def test_it_speaks_the_api_over_tls_to_its_key_only(fleet: Path, standin: openai.StandIn) -> None:
    key = key_of(fleet)
    status, said = call(standin, key, "/v1/models")
    assert status == 200
    assert [model["id"] for model in said["data"]] == [standin.embedding_model, standin.model]
    status, said = call(
        standin, key, "/v1/embeddings", {"model": standin.embedding_model, "input": ["web", "sea"]}
    )
    assert (status, said["object"], len(said["data"])) == (200, "list", 2)
    assert {len(entry["embedding"]) for entry in said["data"]} == {standin.dimensions}
    assert said["usage"] == {"prompt_tokens": 6, "total_tokens": 6}
    packed = {"model": standin.embedding_model, "input": "web", "encoding_format": "base64"}
    floats = array("f", b64decode(call(standin, key, "/v1/embeddings", packed)[1]["data"][0]["embedding"]))
    assert list(floats) == pytest.approx(said["data"][0]["embedding"], abs=1e-6)
    question = {"model": standin.model, "messages": [{"role": "user", "content": "fast web server"}]}
    said = call(standin, key, "/v1/chat/completions", question)[1]
    assert json.loads(said["choices"][0]["message"]["content"]) == ["server web fast", "server fast web"]
    for wrong, expected in (
        ({"model": "gpt-0", "input": "x"}, 404),
        ({"model": standin.embedding_model, "input": ""}, 400),
        ({"model": standin.embedding_model, "input": []}, 400),
        ([], 400),
    ):
        assert call(standin, key, "/v1/embeddings", wrong)[0] == expected
    assert call(standin, "another", "/v1/models")[0] == 401
    assert call(standin, "another", "/v1/embeddings", packed)[0] == 401


def test_faults_are_switched_by_another_token_than_the_services(fleet: Path, standin: openai.StandIn) -> None:
    admin = Path(standin.admin_token_file).read_text().strip()
    key = key_of(fleet)
    limited = {"kind": "limited", "seconds": 2, "times": 1}
    assert call(standin, key, "/_faults", limited)[0] == 401
    assert call(standin, admin, "/_faults", {"kind": "flood"})[0] == 400
    assert call(standin, admin, "/_faults", limited) == (200, limited)
    asked = {"model": standin.embedding_model, "input": "web"}
    assert call(standin, key, "/v1/embeddings", asked)[0] == 429
    assert call(standin, key, "/v1/embeddings", asked)[0] == 200
    assert call(standin, key, "/_calls")[0] == 401
    calls = call(standin, admin, "/_calls")[1]["calls"]
    assert [(seen["fault"], seen["status"]) for seen in calls[-2:]] == [("limited", 429), ("none", 200)]


def test_up_again_keeps_it_and_mends_it(fleet: Path, standin: openai.StandIn) -> None:
    first = Running.read(openai.record_of(fleet))
    assert openai.open_on(ADDRESS, fleet) == standin
    assert Running.read(openai.record_of(fleet)) == first
    assert first is not None
    first.end()
    assert openai.state(fleet) == "down"
    key = key_of(fleet)
    openai.open_on(ADDRESS, fleet)
    assert openai.state(fleet) == "running"
    assert key_of(fleet) == key
    assert call(standin, key, "/v1/models")[0] == 200
    for private in ("secrets/ai_api_key", "openai/admin_token", "openai/key.pem", "openai/tokens.json"):
        assert (fleet / private).stat().st_mode & 0o777 == 0o600
    running = Running.read(openai.record_of(fleet))
    assert running is not None
    assert key not in Path(f"/proc/{running.pid}/cmdline").read_text()


def test_the_models_vectors_are_the_published_ones_and_mean_something() -> None:
    model = Sentences()
    texts = ["small and fast web server", "lightweight HTTP daemon", "sheet music typesetting", *REFERENCE]
    made = [vector for vector, _ in model.embed(texts)]

    def closeness(one: int, other: int) -> float:
        return sum(map(mul, made[one], made[other]))

    assert closeness(0, 0) == pytest.approx(1, abs=1e-5)
    assert closeness(0, 1) > 0.4 > 0.2 > closeness(0, 2)
    alone = model.embed(texts[:1])[0][0]
    assert list(alone) == pytest.approx(list(made[0]), abs=1e-5), "the others of a batch change nothing"
    for text, vector in zip(REFERENCE, made[3:], strict=True):
        assert list(vector[:6]) == pytest.approx(REFERENCE[text], abs=1e-5)


def test_what_was_embedded_is_remembered_up_to_a_number_of_texts() -> None:
    class Counting(WordHashes):
        asked: list[str] = []  # noqa: RUF012 (one object only)

        def embed(self, texts: Any) -> Any:
            self.asked.extend(texts)
            return super().embed(texts)

    counting = Counting()
    remembering = Remembering(counting, most=2)
    remembering.embed(["a", "b", "a"])
    remembering.embed(["a"])
    assert counting.asked == ["a", "b"]
    remembering.embed(["c"])
    remembering.embed(["b"])
    assert counting.asked == ["a", "b", "c", "b"]
