"""A small server that answers as the service does and misbehaves exactly as told, so that what the load reports can be
compared with what really happened. Run as a process: `python load_standin.py SETTINGS.json`.

Settings: address, port, certificate, key (both or none), version, freeze {after, seconds} (all answers wait,
counted from
the first search), cpu_ms, sql (statements per search), fail_every, drop_every, cut_every, reset_every (requests to /x).
It prints "ready" when it listens. GET /tally tells what it did to requests to /x.
"""

import json
import socket
import ssl
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PADDING = "x" * 400


class Service:
    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.lock = threading.Lock()
        self.users: dict[str, str] = {}
        self.tokens: set[str] = set()
        self.keys: set[str] = set()
        self.databases: list[dict[str, str]] = []
        self.counters = {
            "http_response_bytes_total": 0.0,
            "sql_statements_total": 0.0,
            "redis_commands_total": 0.0,
        }
        self.searches = 0
        self.first_search: float | None = None
        self.tally = {"seen": 0, "failed": 0, "dropped": 0, "cut": 0, "reset": 0}

    def stall(self) -> None:
        freeze = self.settings.get("freeze")
        if freeze and self.first_search is not None:
            begin = self.first_search + freeze["after"]
            if begin <= time.monotonic() < begin + freeze["seconds"]:
                time.sleep(max(0.0, begin + freeze["seconds"] - time.monotonic()))

    def work(self) -> None:
        until = time.thread_time() + self.settings.get("cpu_ms", 0) / 1000
        while time.thread_time() < until:
            pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    service: Service

    def do_GET(self) -> None:
        service = self.service
        if self.path == "/metrics":
            figures = service.counters | {"search_api_cpu_seconds_total": time.process_time()}
            lines = [
                "# HELP made_up A comment",
                *(f'{name}{{part="a b"}} {value}' for name, value in figures.items()),
            ]
            self._answer(200, "\n".join(lines).encode() + b"\n")
        elif self.path == "/tally":
            self._answer(200, json.dumps(service.tally).encode())
        elif self.path == "/health":
            self._answer(
                200, json.dumps({"status": "healthy", "version": service.settings["version"]}).encode()
            )
        elif self.path.startswith("/x"):
            self._misbehave()
        elif not self._known(service.tokens):
            self._fault(401, "INVALID_TOKEN")
        elif self.path == "/api/v1/databases":
            self._ok(200, service.databases)
        else:
            self._ok(200, {"path": self.path})

    def do_POST(self) -> None:
        service = self.service
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"{}")
        if self.path.startswith("/x"):
            self._misbehave()
        elif self.path == "/api/v1/auth/register":
            service.users[body["email"]] = body["password"]
            self._ok(201, {"user": {}, "token": self._new(service.tokens, "token"), "expiresIn": 3600})
        elif self.path == "/api/v1/auth/login":
            operator = body["email"].startswith("operator@") and len(body["password"]) >= 12
            if operator or service.users.get(body["email"]) == body["password"]:
                self._ok(200, {"user": {}, "token": self._new(service.tokens, "token"), "expiresIn": 3600})
            else:
                self._fault(401, "AUTHENTICATION_FAILED")
        elif self.path == "/api/v1/search":
            self._search(body)
        elif not self._known(service.tokens):
            self._fault(401, "INVALID_TOKEN")
        elif self.path == "/api/v1/keys":
            made = {"id": f"id-{len(service.keys)}", "rateLimitTier": "free"}
            self._ok(201, {"apiKey": made, "secretKey": self._new(service.keys, "key"), "warning": ""})
        elif body.get("username") != "searcher" or body.get("ssl") is not True:
            self._fault(400, "VALIDATION_ERROR")
        else:
            service.databases.append({"id": f"database-{len(service.databases)}"})
            self._ok(201, service.databases[-1])

    def do_PUT(self) -> None:
        """An operator grants a key a tier."""
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"{}")
        if not self._known(self.service.tokens):
            self._fault(401, "INVALID_TOKEN")
        elif not self.path.startswith("/api/v1/keys/id-"):
            self._fault(404, "API_KEY_NOT_FOUND")
        else:
            self._ok(200, {"apiKey": {"id": self.path.rpartition("/")[2], **body}})

    def _search(self, body: dict[str, Any]) -> None:
        service = self.service
        if not self._known(service.keys):
            self._fault(401, "INVALID_API_KEY")
            return
        with service.lock:
            service.searches += 1
            if body["limit"] > 1:  # not a look whether the key still works
                service.first_search = service.first_search or time.monotonic()
            service.counters["sql_statements_total"] += service.settings.get("sql", 3)
            service.counters["redis_commands_total"] += 1
            number = service.searches
        service.stall()
        service.work()
        every = service.settings.get("fail_every")
        if every and number % every == 0:
            self._fault(500, "INTERNAL_ERROR")
        else:
            self._ok(200, {"results": [PADDING]})

    def _misbehave(self) -> None:
        service, told = self.service, self.service.settings
        with service.lock:
            service.tally["seen"] += 1
            number = service.tally["seen"]
            done = next(
                (
                    what
                    for what in ("fail", "drop", "cut", "reset")
                    if number % told.get(f"{what}_every", 1 << 40) == 0
                ),
                "",
            )
            if done:
                service.tally[{"fail": "failed", "drop": "dropped"}.get(done, done)] += 1
        if done == "fail":
            self._fault(503, "BUSY")
        elif done:
            if done == "cut":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nonly this")
            if done == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        elif number % 3 == 0:
            self.wfile.write(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                b'4;note=1\r\n{"a"\r\n3\r\n: 1\r\n1\r\n}\r\n0\r\nTrailer: 1\r\n\r\n'
            )
        else:
            self._ok(200, {})

    def _known(self, secrets: set[str]) -> bool:
        """Several stand-ins that are one service to their clients trust what another one gave out."""
        return self._bearer() in secrets or bool(self.service.settings.get("trusting"))

    def _bearer(self) -> str:
        return str(self.headers.get("Authorization", "")).removeprefix("Bearer ")

    def _new(self, known: set[str], kind: str) -> str:
        made = f"{kind}-{len(known)}-{id(self.service)}"
        known.add(made)
        return made

    def _ok(self, status: int, data: object) -> None:
        meta = {"version": self.service.settings["version"]}
        self._answer(status, json.dumps({"success": True, "data": data, "meta": meta}).encode())

    def _fault(self, status: int, code: str) -> None:
        self._answer(
            status, json.dumps({"success": False, "error": {"code": code, "message": "so told"}}).encode()
        )

    def _answer(self, status: int, body: bytes) -> None:
        self.service.counters["http_response_bytes_total"] += len(body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: standard output is for "ready"."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may leave as they like."""


def main() -> None:
    settings = json.loads(Path(sys.argv[1]).read_text())
    Handler.service = Service(settings)
    server = Server((settings["address"], settings["port"]), Handler)
    if settings.get("certificate"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings["certificate"], settings["key"])
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(f"ready {server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
