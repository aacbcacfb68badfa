"""The stand-in as an HTTP server: OpenAI's paths below /v1, and /_faults and /_calls for whoever tests."""

import hmac
import json
import ssl
import sys
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from infra.sandbox.openai_standin import api
from infra.sandbox.openai_standin.embedding import Embedder
from infra.sandbox.openai_standin.faults import KINDS, Behaviour, Call, Fault, WrongFaultError

_LARGEST_BODY = 8 * 1024 * 1024
_IDLE_SECONDS = 120


@dataclass(frozen=True)
class Tokens:
    """Who may call the API, and who may switch faults; different, so that the service cannot."""

    api_key: str
    admin: str


class StandIn(ThreadingHTTPServer):
    """Listens as soon as it is made; `serve_forever` answers. With a context it speaks TLS."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], tokens: Tokens, embedder: Embedder, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(address, Handler)
        self.tokens = tokens
        self.embedder = embedder
        self.behaviour = Behaviour()
        self._tls = tls

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Answer one connection, in its own thread: a slow handshake holds nobody else up."""
        if self._tls is None:
            Handler(request, client_address, self)
            return
        request.settimeout(_IDLE_SECONDS)
        with self._tls.wrap_socket(request, server_side=True) as secured:
            Handler(secured, client_address, self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no fault of ours."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    wbufsize = -1  # head and body leave together
    disable_nagle_algorithm = True
    server: StandIn

    def do_GET(self) -> None:
        """Models, and the record of calls."""
        path = urlsplit(self.path).path
        if path == "/_calls" and self._may(self.server.tokens.admin):
            self._send(200, self.server.behaviour.told())
        elif path == "/v1/models" and self._may(self.server.tokens.api_key):
            self._send(200, api.models(self.server.embedder).body)
        elif path not in ("/_calls", "/v1/models"):
            self._send(404, api.error_body("There is no such path.", "not_found"))

    def do_POST(self) -> None:
        """Embeddings and chat, with the fault in force; and the switch of faults."""
        path = urlsplit(self.path).path
        body = self._read()
        if path == "/_faults":
            if self._may(self.server.tokens.admin):
                self._switch(body)
        elif path not in ("/v1/embeddings", "/v1/chat/completions"):
            self._send(404, api.error_body("There is no such path.", "not_found"))
        elif self._may(self.server.tokens.api_key):
            call, fault = self.server.behaviour.received(path)
            self._answer(path, body, call, fault)

    def do_DELETE(self) -> None:
        """Begin the record of calls anew."""
        if self._may(self.server.tokens.admin):
            self.server.behaviour.forget()
            self._send(200, {})

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing: what is asked is in the record of calls."""

    def _switch(self, body: Any) -> None:
        try:
            fault = Fault.asked_for(body)
        except WrongFaultError as error:
            self._send(400, {"error": str(error), "kinds": KINDS})
            return
        self.server.behaviour.switch(fault)
        self._send(200, self.server.behaviour.told()["fault"])

    def _answer(self, path: str, body: Any, call: Call, fault: Fault) -> None:
        if fault.kind in ("hang", "down"):
            if fault.kind == "hang":
                self.server.behaviour.wait(fault.seconds)
            self.close_connection = True
            return
        if fault.kind == "slow":
            self.server.behaviour.wait(fault.seconds)
        if fault.kind == "limited":
            headers = {"Retry-After": f"{fault.seconds:g}"}
            self._send(429, api.error_body("Slow down.", "rate_limit_exceeded"), call, headers)
        elif fault.kind == "error":
            self._send(500, api.error_body("Something broke.", "server_error"), call)
        elif fault.kind == "empty":
            self._send_bytes(200, b"", call)
        else:
            self._answer_in_full(path, body, call, fault)

    def _answer_in_full(self, path: str, body: Any, call: Call, fault: Fault) -> None:
        try:
            if not isinstance(body, dict):
                raise api.RefusedError(400, "The body is not a JSON object.", "invalid_json")
            made = (
                api.embeddings(body, self.server.embedder) if path.endswith("embeddings") else api.chat(body)
            )
        except api.RefusedError as refused:
            self._send(refused.status, refused.body, call)
            return
        text = json.dumps(api.spoilt(made, fault.kind).body).encode()
        call.inputs = made.inputs
        if fault.kind == "bad_json":
            self._send_bytes(200, text[: len(text) // 2], call)
            return
        call.prompt_tokens, call.completion_tokens = made.prompt_tokens, made.completion_tokens
        self._send_bytes(200, text, call, pause=0.1 if fault.kind == "drip" else 0.0)

    def _may(self, token: str) -> bool:
        given = self.headers.get("Authorization", "")
        if hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return True
        self._send(401, api.error_body("Incorrect API key provided.", "invalid_api_key"))
        return False

    def _read(self) -> Any:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > _LARGEST_BODY:
            self.close_connection = True
            return None
        try:
            return json.loads(self.rfile.read(int(length)))
        except ValueError:
            return None

    def _send(
        self,
        status: int,
        body: dict[str, Any],
        call: Call | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self._send_bytes(status, json.dumps(body).encode(), call, headers=headers)

    def _send_bytes(
        self,
        status: int,
        body: bytes,
        call: Call | None = None,
        *,
        headers: dict[str, str] | None = None,
        pause: float = 0.0,
    ) -> None:
        if call is not None:
            call.status = status
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for start in range(len(body) if pause else 0):
            self.wfile.write(body[start : start + 1])
            self.wfile.flush()
            time.sleep(pause)
        if not pause:
            self.wfile.write(body)
