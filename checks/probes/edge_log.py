"""Which app machine answered which request, out of the balancer's own access log."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter

from checks.gate import CouldNotLook, EdgeSession, MachineUnderCheck

LOG = "/var/log/nginx/access.log"
# NGINX writes its log from a buffer, once a second.
ATTEMPTS = 5
PAUSE_S = 0.4


def upstreams_of_a_burst(machine: MachineUnderCheck, edge: EdgeSession, count: int) -> Counter[str]:
    """How many of `count` requests of one client, all with one cookie, each upstream answered.

    Raises CouldNotLook when the log does not show them all in time.
    """
    mark = f"spread-{uuid.uuid4().hex}"
    for number in range(count):
        edge.get(
            "/health/live",
            headers={"X-Request-Id": f"{mark}-{number}", "Cookie": "session=one-client; route=one-client"},
        )
    for _ in range(ATTEMPTS):
        shown = machine.run(f"tail -n 2000 {LOG} | grep -F {mark}", sudo=True, cached=False)
        met = parse(shown.stdout)
        if sum(met.values()) >= count:
            return met
        time.sleep(PAUSE_S)
    raise CouldNotLook(f"{machine.name}: {LOG} shows {sum(met.values())} of {count} requests")


def parse(text: str) -> Counter[str]:
    """Requests by the upstream that answered last, out of JSON log lines. Raises CouldNotLook."""
    found: Counter[str] = Counter()
    for line in text.splitlines():
        try:
            upstreams = str(json.loads(line)["upstream"])
        except (ValueError, KeyError, TypeError) as fault:
            raise CouldNotLook(f"{LOG}: a line without an upstream ({fault!r}): {line[:120]!r}") from fault
        found[upstreams.replace(" : ", ", ").split(", ")[-1]] += 1
    return found
