"""Who is calling, seen through the proxies that the operator trusts."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address


def client_address(
    peer: str | None,
    forwarded_for: str,
    trusted: Sequence[IPv4Network | IPv6Network],
    *,
    peer_is_local_socket: bool,
) -> str:
    """The address of the caller.

    ``peer`` is the address of the connection, None on a Unix socket. ``forwarded_for`` is the X-Forwarded-For header:
    it is read from its right end, as far as each hop is a trusted proxy, so that a caller cannot invent an address.
    """
    if not (peer_is_local_socket or _is_trusted(peer or "", trusted)):
        return peer or ""
    hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
    nearest = peer or ""
    for hop in reversed(hops):
        try:
            ip_address(hop)
        except ValueError:
            return nearest
        nearest = hop
        if not _is_trusted(hop, trusted):
            break
    return nearest


def _is_trusted(address: str, trusted: Sequence[IPv4Network | IPv6Network]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in trusted)
