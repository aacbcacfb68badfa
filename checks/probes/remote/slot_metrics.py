"""On an app machine, as root: prints the metrics of the slot that the argument names, over its own socket."""

import http.client
import socket
import sys


def main(slot: str) -> None:
    """All workers of the slot together, in Prometheus' text."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(10)
    connection.sock.connect(f"/run/search-api/{slot}/http.sock")
    connection.request("GET", "/metrics")
    print(connection.getresponse().read().decode())


if __name__ == "__main__":
    main(sys.argv[1])
