"""OpenAI's stand-in as a process on loopback, and the switch of its faults."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from service_processes import free_port, running

API_KEY = "sk-standin-Rt5xWq8ZbN3m"
ADMIN = "switches-faults-Kd7vQz2L"
MODEL, DIMENSIONS = "word-hashes", 64


@dataclass(frozen=True)
class StandInAt:
    """A running stand-in."""

    port: int

    @property
    def settings(self) -> dict[str, Any]:
        """What the service needs to call it."""
        return {
            "ai_base_url": f"http://127.0.0.1:{self.port}/v1",
            "ai_api_key": API_KEY,
            "ai_model": "standin-chat",
            "ai_embedding_model": MODEL,
            "ai_embedding_dimensions": DIMENSIONS,
        }

    def switch(self, kind: str, **more: Any) -> None:
        """From now on this fault."""
        self._ask("POST", "/_faults", json={"kind": kind} | more).raise_for_status()

    def begin(self, kind: str = "none", **more: Any) -> None:
        """As switch, with an empty record of calls."""
        self._ask("DELETE", "/_calls").raise_for_status()
        self.switch(kind, **more)

    def calls(self) -> list[dict[str, Any]]:
        """The calls since ``begin``."""
        told = self._ask("GET", "/_calls").json()
        assert told["total"] == len(told["calls"])
        return list(told["calls"])

    def _ask(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {ADMIN}"}
        return requests.request(
            method, f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=10, **options
        )


@contextmanager
def standin_server(directory: Path, port: int | None = None) -> Iterator[StandInAt]:
    """The stand-in with vectors made of words, so that nothing loads a model."""
    at = StandInAt(port or free_port())
    tokens = directory / "tokens.json"
    tokens.write_text(json.dumps({"api_key": API_KEY, "admin": ADMIN}))
    command = [
        sys.executable, "-m", "infra.sandbox.openai_standin", "--listen", f"127.0.0.1:{at.port}",
        "--tokens", str(tokens), "--embeddings", "hash",
    ]  # fmt: skip

    def ready() -> bool:
        try:
            return bool(at.calls() == [])
        except requests.ConnectionError:
            return False

    with running(command, "the stand-in for OpenAI", directory / f"standin-{at.port}.log", ready):
        yield at
