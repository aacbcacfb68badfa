"""The fleet's own network: a bridge on a free private subnet, with no way out but the package cache."""

import ipaddress
import json
import os
import time
import zlib
from collections.abc import Iterable

from infra.sandbox.computer import run
from infra.sandbox.errors import SandboxError

Network = ipaddress.IPv4Network


def bridge_name(fleet: str) -> str:
    """Name of the fleet's bridge; link names hold at most 15 characters."""
    return f"lg-{fleet}"


def pick_subnet(fleet: str, taken: Iterable[str]) -> Network:
    """Choose a private /24 that nothing on this computer uses.

    `LAUNCHGATE_SUBNET` forces one. The search starts at a place derived from the fleet's name, so that a
    fleet usually comes back to the same addresses.

    Args:
        fleet: the fleet's name.
        taken: subnets of other fleets, up or down.

    Raises:
        SandboxError: the wanted subnet, or every candidate, is in use.
    """
    used = [*in_use(), *(Network(subnet) for subnet in taken)]
    forced = os.environ.get("LAUNCHGATE_SUBNET")
    if forced:
        return _forced(forced, used)
    start = zlib.crc32(fleet.encode()) % 4096
    for step in range(4096):
        number = (start + step) % 4096
        candidate = Network((f"10.{208 + number // 256}.{number % 256}.0", 24))
        if not any(candidate.overlaps(network) for network in used):
            return candidate
    raise SandboxError(
        "no free private subnet between 10.208.0.0 and 10.223.255.0: name one with LAUNCHGATE_SUBNET=A.B.C.0/24"
    )


def in_use() -> list[Network]:
    """Networks that this computer's addresses and routes cover, but for the default route."""
    found = []
    for link in json.loads(run(["ip", "-4", "-json", "address"])):
        for address in link.get("addr_info", []):
            found.append(Network(f"{address['local']}/{address['prefixlen']}", strict=False))
    for route in json.loads(run(["ip", "-4", "-json", "route", "show", "table", "all"])):
        if route.get("dst", "default") != "default":
            found.append(Network(route["dst"], strict=False))
    return found


def ensure_bridge(fleet: str, gateway: str) -> None:
    """Create the fleet's bridge with its gateway address unless it is there already."""
    name = bridge_name(fleet)
    if name not in links():
        run(["ip", "link", "add", "name", name, "type", "bridge", "stp_state", "0", "forward_delay", "0"])
    run(["ip", "address", "replace", f"{gateway}/24", "dev", name])
    run(["ip", "link", "set", name, "up"])


def remove_bridge(fleet: str) -> None:
    """Remove the fleet's bridge, and with it its address and route."""
    remove_link(bridge_name(fleet))


def remove_link(name: str) -> None:
    """Remove a link; one that is gone, or goes while we ask, is fine.

    Raises:
        SandboxError: it is still there afterwards.
    """
    for _ in range(20):
        if name not in links():
            return
        try:
            run(["ip", "link", "delete", name])
        except SandboxError:
            time.sleep(0.1)
    raise SandboxError(f"link {name} cannot be removed: ip link delete {name}")


def links() -> set[str]:
    """Names of this computer's network links."""
    return {link["ifname"] for link in json.loads(run(["ip", "-json", "link"]))}


def _forced(text: str, used: list[Network]) -> Network:
    try:
        network = Network(text)
    except ValueError as wrong:
        raise SandboxError(f"LAUNCHGATE_SUBNET={text}: {wrong}", exit_code=2) from wrong
    if network.prefixlen != 24 or not network.is_private:
        raise SandboxError(f"LAUNCHGATE_SUBNET={text}: a private /24 is needed", exit_code=2)
    for other in used:
        if network.overlaps(other):
            raise SandboxError(
                f"LAUNCHGATE_SUBNET={text} overlaps {other}, which this computer uses", exit_code=2
            )
    return network
