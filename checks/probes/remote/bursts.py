"""On an app machine: a burst of requests to every given slot's own socket. Prints one line of JSON.

Arguments: requests for each slot, how many at once, slots. Needs nothing but Python: it asks for readiness, which
takes one connection of the slot's pool.
"""

import http.client
import json
import socket
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

TIMEOUT_S = 15.0


class SlotConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self.path = path

    def connect(self) -> None:
        """Connects."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self.path)


def ask(slot: str) -> str:
    """Status of one request on a connection of its own, or why there was none."""
    connection = SlotConnection(f"/run/search-api/{slot}/http.sock")
    try:
        connection.request("GET", "/health/ready")
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def main(requests: int, at_once: int, slots: list[str]) -> None:
    """One burst; prints how often each status came."""
    with ThreadPoolExecutor(at_once) as pool:
        print(json.dumps(dict(Counter(pool.map(ask, slots * requests)))))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
