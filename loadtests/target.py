"""Where load goes: name, port, the address to connect to, and the CA that must have signed the certificate."""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from inventories.schema import Inventory, InventoryError

APP_PORT = 8443


class TargetError(Exception):
    """A target that cannot be used; the message names the place and the cure."""


@dataclass(frozen=True)
class Target:
    """`host` is the name that the certificate and the Host header carry; `address` is what is dialled."""

    scheme: str
    host: str
    port: int
    address: str
    ca_file: Path | None

    @property
    def authority(self) -> str:
        """The Host header: the name, and the port unless it is the scheme's own."""
        return (
            self.host if self.port == {"http": 80, "https": 443}[self.scheme] else f"{self.host}:{self.port}"
        )

    @property
    def url(self) -> str:
        """The base URL by name."""
        return f"{self.scheme}://{self.authority}"

    @property
    def dialled_url(self) -> str:
        """The base URL by address, for clients that are told the name apart."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.scheme}://{address}:{self.port}"

    def tls(self) -> ssl.SSLContext | None:
        """A context that verifies certificate and name; None for plain HTTP. Raises TargetError without the CA file."""
        if self.scheme == "http":
            return None
        if self.ca_file is not None and not self.ca_file.is_file():
            raise TargetError(
                f"{self.ca_file}: the CA certificate is missing; deploy first, or correct the inventory"
            )
        return ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)


def public(inventory: Inventory) -> Target:
    """The service as its users reach it. Where the domain does not resolve, the edge's own address is dialled."""
    return for_url(inventory.public_url, inventory)


def machine(inventory: Inventory, name: str) -> Target:
    """One app machine directly, beside the load balancer. Raises TargetError for another machine."""
    try:
        found = inventory.machine(name)
    except InventoryError as error:
        raise TargetError(str(error)) from error
    if "app" not in found.roles:
        names = ", ".join(app.name for app in inventory.role("app"))
        raise TargetError(f"{name} is not an app machine; use public or one of {names}")
    return Target("https", found.name, APP_PORT, found.address, inventory.internal_ca_file)


def by_name(inventory: Inventory, name: str) -> Target:
    """ "public" or the name of an app machine."""
    return public(inventory) if name == "public" else machine(inventory, name)


def for_url(url: str, inventory: Inventory | None = None) -> Target:
    """The target of a base URL. Names that only the inventory knows are dialled at its addresses.

    Raises TargetError for a URL without a host or a name that nobody knows.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise TargetError(f"{url!r} is not a base URL; write https://name or http://name:port")
    host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    ca_file = None
    if inventory is not None:
        known = {app.name: app for app in inventory.role("app")}
        if host in known:
            return Target(parts.scheme, host, port, known[host].address, inventory.internal_ca_file)
        if host == inventory.settings.domain:
            ca_file = inventory.ca_file
    return Target(parts.scheme, host, port, _address(host, port, inventory), ca_file)


def _address(host: str, port: int, inventory: Inventory | None) -> str:
    try:
        return str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        if inventory is not None and host == inventory.settings.domain:
            return inventory.edge_address
        raise TargetError(
            f"{host}: the name does not resolve ({error}); check it, or give an inventory that knows it"
        ) from error


class _Pinned(HTTPAdapter):
    """Dials the target's address while certificate, SNI and Host carry its name."""

    def __init__(self, target: Target) -> None:
        self._target = target
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        if self._target.scheme == "https":
            kwargs |= {"server_hostname": self._target.host, "assert_hostname": self._target.host}
        super().init_poolmanager(*args, **kwargs)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        assert request.url is not None
        request.url = re.sub(r"^https?://[^/]+", self._target.dialled_url, request.url, count=1)
        request.headers["Host"] = self._target.authority
        return super().send(request, *args, **kwargs)


def session(target: Target) -> requests.Session:
    """A session for preparation and look-ups (not for measuring). Raises TargetError without the CA file."""
    target.tls()
    made = requests.Session()
    # A proxy of the operator's environment must not stand between us and the fleet.
    made.trust_env = False
    made.mount(target.url, _Pinned(target))
    if target.ca_file is not None:
        made.verify = str(target.ca_file)
    return made
