"""The computer's own package configuration, read so that machines use the same archives.

No archive's name is written down in the product: URIs, proxies and certificates come from here.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from infra.sandbox.computer import run
from infra.sandbox.errors import SandboxError

KNOWN_SUITES = ("bookworm", "trixie")
_ONE_LINE = re.compile(r"^deb\s+(?:\[[^\]]*\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)$")


@dataclass(frozen=True)
class Archive:
    """One archive of the distribution: where it is and which kind of suite it serves."""

    uri: str
    suite: str


@dataclass(frozen=True)
class PackageSources:
    """What this computer's apt uses for the distribution itself.

    Attributes:
        main: URI of the main archive.
        security: URI of the security archive.
        proxy: HTTP proxy in front of them, or None.
        check_valid_until: False where this computer's apt ignores the archives' expiry dates.
    """

    main: str
    security: str
    proxy: str | None
    check_valid_until: bool

    def lines(self, suite: str, *, unstable: bool = False) -> list[str]:
        """Lines of a sources.list for `suite`, reachable through the package cache.

        Raises:
            SandboxError: an unknown suite.
        """
        if suite not in KNOWN_SUITES:
            raise SandboxError(f"--suite {suite}: known suites are {', '.join(KNOWN_SUITES)}", exit_code=2)
        main, security = _through_cache(self.main), _through_cache(self.security)
        lines = [
            f"deb {main} {suite} main",
            f"deb {main} {suite}-updates main",
            f"deb {security} {suite}-security main",
        ]
        if unstable:
            lines.append(f"deb {main} unstable main")
        return lines


def read() -> PackageSources:
    """Read this computer's apt configuration.

    Raises:
        SandboxError: no Debian archive is configured.
    """
    archives = list(_archives())
    security = next((a.uri for a in archives if a.suite.endswith("-security")), None)
    main = next((a.uri for a in archives if "/" not in a.suite and not a.suite.endswith("-security")), None)
    if main is None:
        raise SandboxError(
            "no Debian archive in this computer's apt sources: add one to /etc/apt/sources.list.d/debian.sources"
        )
    dump = run(["apt-config", "dump"])
    return PackageSources(
        main=main,
        security=security or main,
        proxy=_option(dump, "Acquire::http::Proxy") or None,
        check_valid_until=_option(dump, "Acquire::Check-Valid-Until") != "false",
    )


def _option(dump: str, name: str) -> str | None:
    found = re.search(rf'^{re.escape(name)} "(.*)";$', dump, re.MULTILINE)
    return found.group(1) if found else None


def _archives(root: Path = Path("/etc/apt")) -> list[Archive]:
    """Archives of the distribution itself: those whose suites bear a Debian code name."""
    found: list[Archive] = []
    for path in sorted((root / "sources.list.d").glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text()):
            fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
            if fields.get("Enabled", "yes").lower() == "no":
                continue
            found += [
                Archive(uri.rstrip("/"), suite)
                for uri in fields.get("URIs", "").split()
                for suite in fields.get("Suites", "").split()
            ]
    for path in [root / "sources.list", *sorted((root / "sources.list.d").glob("*.list"))]:
        if path.exists():
            matches = map(_ONE_LINE.match, path.read_text().splitlines())
            found += [Archive(m["uri"].rstrip("/"), m["suite"]) for m in matches if m]
    names = {"stable", "testing", "unstable", "sid", "oldstable", "bookworm", "trixie", "forky"}
    return [archive for archive in found if re.split(r"[-/]", archive.suite)[0] in names]


def _through_cache(uri: str) -> str:
    # apt-cacher-ng speaks plain HTTP to its clients; this form asks it to use TLS upstream.
    return re.sub(r"^https://", "http://HTTPS///", uri)
