"""HTTP to the public edge: connects to the load balancer's address, speaks and verifies the public name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter

from checks.gate.errors import CouldNotLook

REQUEST_TIMEOUT_S = 10.0


class EdgeDown(AssertionError):
    """The edge gave no HTTP answer although its machine is up: a failure, not blindness."""


class EdgeSession(requests.Session):
    """A requests session for the public service.

    Takes paths ("/health/live") or absolute URLs of the public name; never retries; verifies the certificate
    against the inventory's CA and the public name. Raises EdgeDown (outcome FAIL) when the edge does not
    answer though its machine does, CouldNotLook when the machine is down as well.
    """

    def __init__(
        self, public_url: str, address: str, ca_file: Path | None, is_up: Callable[[], bool]
    ) -> None:
        super().__init__()
        self.public_url = public_url.rstrip("/")
        self.domain = urlsplit(public_url).hostname or ""
        self.address = address
        self.trust_env = False
        self.verify = str(ca_file) if ca_file else True
        self._is_up = is_up
        for scheme in ("https", "http"):
            self.mount(f"{scheme}://{self.domain}", _PinnedAdapter(address, self.domain))

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """As `requests.Session.request`, with a time-out of 10 s unless given."""
        kwargs.setdefault("timeout", REQUEST_TIMEOUT_S)
        target = urljoin(self.public_url + "/", url if isinstance(url, str) else url.decode())
        try:
            return super().request(method, target, *args, **kwargs)
        except (requests.ConnectionError, requests.Timeout) as silent:
            if not self._is_up():
                raise CouldNotLook(f"edge {self.address} is down: {silent}") from silent
            raise EdgeDown(f"{target} via {self.address} gave no answer: {silent}") from silent


class _PinnedAdapter(HTTPAdapter):
    """Connects to one address whatever the name resolves to; SNI, Host and verification keep the name."""

    def __init__(self, address: str, domain: str) -> None:
        self._address = address
        self._domain = domain
        super().__init__(max_retries=0)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        host, pool = (
            dict(part) for part in super().build_connection_pool_key_attributes(request, verify, cert)
        )
        host["host"] = self._address
        if host["scheme"] == "https":
            pool["server_hostname"] = self._domain
            pool["assert_hostname"] = self._domain
        return host, pool

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        request.headers.setdefault("Host", self._domain)
        return super().send(request, *args, **kwargs)
