"""On an app machine, as root: the service's own statements and how the databases would carry them out.

Argument: the slot. The release's application runs here in this process, with the slot's settings, and answers the
requests of one throw-away user. Before each statement that it sends, the same connection is asked to EXPLAIN it.
Standard input, first line of JSON after the program: the connection of the customer's database (holds its password).
Prints one line of JSON: `{"requests": {...}, "statements": [{database, statement, plan}]}`.
"""

import asyncio
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

EXPLAINED = re.compile(r"\s*(SELECT|UPDATE|DELETE)\b", re.IGNORECASE)
WORDS = "package library"


class Plans:
    """Collects a plan for each different statement."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, str], list[dict[str, Any]]] = {}

    def watch(self) -> None:
        """From now on, every statement of PyMySQL is explained first."""
        cursors = importlib.import_module("pymysql.cursors")
        execute, explain = cursors.Cursor.execute, self.explain

        def explained_first(cursor: Any, query: str, args: Any = None) -> Any:
            explain(execute, cursors.DictCursor, cursor.connection, query, args)
            return execute(cursor, query, args)

        cursors.Cursor.execute = explained_first

    def explain(self, execute: Any, dictionary: Any, connection: Any, query: str, args: Any) -> None:
        """Ask for the plan, once for each text."""
        database = (
            (connection.db or b"").decode() if isinstance(connection.db, bytes) else str(connection.db or "")
        )
        key = database, normal(query)
        if (
            key in self.seen
            or not EXPLAINED.match(query)
            or ("FROM" not in query.upper() and "UPDATE" not in query.upper())
        ):
            return
        self.seen[key] = []
        cursor = dictionary(connection)
        execute(cursor, "EXPLAIN " + query, args)
        self.seen[key] = [{name.lower(): value for name, value in row.items()} for row in cursor.fetchall()]


def normal(query: str) -> str:
    """The text with single blanks, and lists of parameters of any length as one."""
    return re.sub(r"\((?:\(?%s\)?,? ?)+\)", "(%s...)", " ".join(query.split()))


class Browser:
    """Asks the application, in this process."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.statuses: dict[str, int] = {}
        # Registrations are limited by address: each look comes from another one, of those that nobody has.
        self.address = "2001:db8:" + ":".join(os.urandom(2).hex() for _ in range(6))

    async def ask(self, method: str, path: str, body: Any = None, bearer: str = "") -> Any:
        """The `data` of the answer."""
        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        if bearer:
            headers.append((b"authorization", f"Bearer {bearer}".encode()))
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
            "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "https", "headers": headers,
            "client": (self.address, 1), "server": ("localhost", 443), "state": {},
        }  # fmt: skip
        asked = [{"type": "http.request", "body": json.dumps(body).encode() if body is not None else b""}]
        status, text = 0, b""

        async def receive() -> Any:
            return asked.pop() if asked else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal status, text
            status = message.get("status", status)
            text += message.get("body", b"")

        await self.app(scope, receive, send)
        self.statuses[f"{method} {re.sub(r'[0-9a-f-]{36}', '{id}', path)}"] = status
        return json.loads(text or b"{}").get("data") or {}


async def journey(browser: Browser, customer: dict[str, Any]) -> None:
    """What users do most."""
    mark = os.urandom(8).hex()
    user = {"email": f"plans-{mark}@checks.example.com", "password": f"Aa1!{mark}", "name": "Check plans"}
    await browser.ask("GET", "/health/ready")
    await browser.ask("POST", "/api/v1/auth/register", user)
    token = (await browser.ask("POST", "/api/v1/auth/login", user))["token"]
    for path in ("auth/profile", "keys", "databases"):
        await browser.ask("GET", f"/api/v1/{path}", bearer=token)
    made = await browser.ask("POST", "/api/v1/keys", {"name": "plans", "environment": "test"}, token)
    database = await browser.ask("POST", "/api/v1/databases", customer, token)
    for mode in ("natural", "boolean"):
        question = {"query": f"{WORDS} {mark}", "searchMode": mode, "includeAnalytics": True, "limit": 5}
        await browser.ask("POST", "/api/v1/search", question, made["secretKey"])
    key, connection = f"/api/v1/keys/{made['apiKey']['id']}", f"/api/v1/databases/{database['id']}"
    for method, path in (
        ("GET", key), ("GET", f"{key}/usage"), ("GET", connection), ("POST", f"{connection}/test"),
        ("DELETE", connection), ("DELETE", key), ("POST", "/api/v1/auth/refresh"), ("POST", "/api/v1/auth/logout"),
    ):  # fmt: skip
        await browser.ask(method, path, bearer=token)


async def look(customer: dict[str, Any]) -> dict[str, Any]:
    """Run the application from its start to its end."""
    app = importlib.import_module("search_api.app").create_app()
    plans, browser = Plans(), Browser(app)
    plans.watch()
    async with app.router.lifespan_context(app):
        await journey(browser, customer)
    statements = [
        {"database": database, "statement": text, "plan": plan}
        for (database, text), plan in plans.seen.items()
    ]
    return {"requests": browser.statuses, "statements": statements}


def main(slot: str, customer: dict[str, Any]) -> None:
    """Take on the slot's environment, but none of its files for metrics."""
    words = ["systemctl", "show", "-p", "MainPID", "--value", f"search-api@{slot}.service"]
    pid = subprocess.run(words, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    os.environ.clear()
    os.environ.update(dict(pair.split("=", 1) for pair in pairs if "=" in pair))
    os.environ.pop("SEARCH_API_METRICS_DIR", None)
    print(json.dumps(asyncio.run(look(customer)), default=str))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.stdin.readline()))
