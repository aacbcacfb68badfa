"""Which hosts may be dialled. The address that was checked is the address that is dialled."""

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from search_api.errors import ApiError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Globally routable by number, yet answered by the cloud's own fabric.
_METADATA = (IPv4Address("168.63.129.16"), IPv4Address("100.100.100.200"), IPv4Address("192.0.0.192"))
# IPv6 addresses whose last 32 bits are an IPv4 address that somebody else dials: NAT64, and the old "compatible" form.
_CARRIERS = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))
_GLOBAL_UNICAST = IPv6Network("2000::/3")


class UnknownHostError(Exception):
    """The host name does not resolve."""


def checked_addresses(host: str, port: int, allowed: Sequence[Network]) -> list[Address]:
    """The addresses of a host, all of which may be dialled.

    Raises UnknownHostError when there are none, ApiError 403 HOST_NOT_ALLOWED when any one of them is refused:
    link-local, loopback, metadata, private and other special ranges, unless the operator allows the range.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UnknownHostError(host) from None
    addresses = list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))
    if not addresses:
        raise UnknownHostError(host)
    if not all(is_allowed(address, allowed) for address in addresses):
        raise ApiError(
            403,
            "HOST_NOT_ALLOWED",
            "This host is in a network that the operator of the service does not allow.",
        )
    return addresses


def is_allowed(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether this one address may be dialled. An IPv4 address inside an IPv6 one is judged as what it is."""
    address = _embedded(address)
    if any(address.version == network.version and address in network for network in allowed):
        return True
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and address not in _METADATA


def _embedded(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
    if inner is None and any(address in carrier for carrier in _CARRIERS) and int(address) > 1:
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address
