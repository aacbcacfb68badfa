"""Plain HTTP without any cleverness: no redirects followed, no TLS, no retry."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass

PATIENCE_S = 5.0
LONGEST_BODY = 4096


@dataclass(frozen=True)
class PlainAnswer:
    """An HTTP answer; `status` 0 means that none came, and `body` says why. Header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: str

    def told(self) -> str:
        """One line for people."""
        where = self.headers.get("location")
        return (
            f"{self.status}{f' to {where}' if where else ''}" if self.status else f"no answer ({self.body})"
        )


def ask(
    address: str, port: int, method: str, path: str, *, host: str, body: bytes | None = None
) -> PlainAnswer:
    """One request over plain HTTP to an address and port; `host` is the Host header."""
    connection = http.client.HTTPConnection(address, port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body=body, headers={"Host": host, "Connection": "close"})
        answer = connection.getresponse()
        text = answer.read(LONGEST_BODY).decode(errors="replace")
        return PlainAnswer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, text)
    except (OSError, http.client.HTTPException) as silent:
        return PlainAnswer(0, {}, f"{type(silent).__name__}: {silent}")
    finally:
        connection.close()
