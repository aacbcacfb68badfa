"""On an app machine, as root: every operation that the release in a slot answers. Prints one line of JSON.

Argument: the slot. The list comes from the application itself, so that a new endpoint cannot be forgotten.
"""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path


def main(slot: str) -> None:
    """Build the application with the slot's settings; nothing is connected."""
    words = ["systemctl", "show", "-p", "MainPID", "--value", f"search-api@{slot}.service"]
    pid = subprocess.run(words, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    os.environ.clear()
    os.environ.update(dict(pair.split("=", 1) for pair in pairs if "=" in pair))
    app = importlib.import_module("search_api.app").create_app()
    described = app.openapi()
    operations = {
        f"{method.upper()} {path}": json.dumps(operation.get("requestBody") is not None)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }
    # Routes that the description leaves out are answered all the same.
    for route in app.routes:
        for method in getattr(route, "methods", None) or ():
            if method != "HEAD":
                operations.setdefault(f"{method} {route.path}", "false")
    print(json.dumps({"operations": sorted(operations)}))


if __name__ == "__main__":
    main(sys.argv[1])
