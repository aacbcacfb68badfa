"""The machines' archives are read from this computer's own apt configuration."""

from pathlib import Path

import pytest

from infra.sandbox import package_sources
from infra.sandbox.errors import SandboxError
from infra.sandbox.package_sources import PackageSources

STANZAS = """\
Types: deb
URIs: https://archive.invalid/debian/
Suites: bookworm bookworm-updates
Components: main

Types: deb
Enabled: no
URIs: https://switched-off.invalid/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://archive.invalid/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: https://vendor.invalid/node
Suites: nodistro
Components: main
"""


def apt(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_only_enabled_archives_of_the_distribution_are_read(tmp_path: Path) -> None:
    root = apt(tmp_path)
    (root / "sources.list.d" / "debian.sources").write_text(STANZAS)
    uris = [(archive.uri, archive.suite) for archive in package_sources._archives(root)]
    assert uris == [
        ("https://archive.invalid/debian", "bookworm"),
        ("https://archive.invalid/debian", "bookworm-updates"),
        ("http://archive.invalid/debian-security", "bookworm-security"),
    ]


def test_one_line_sources_are_read_too(tmp_path: Path) -> None:
    root = apt(tmp_path)
    (root / "sources.list").write_text(
        "# deb http://comment.invalid/debian bookworm main\n"
        "deb [signed-by=/x.gpg arch=amd64] http://archive.invalid/debian bookworm main contrib\n"
        "deb-src http://source.invalid/debian bookworm main\n"
    )
    found = package_sources._archives(root)
    assert [(a.uri, a.suite) for a in found] == [("http://archive.invalid/debian", "bookworm")]


def sources() -> PackageSources:
    return PackageSources(
        "https://a.invalid/debian", "http://a.invalid/security", None, check_valid_until=True
    )


def test_lines_go_through_the_cache_which_speaks_tls_for_the_machines() -> None:
    assert sources().lines("trixie") == [
        "deb http://HTTPS///a.invalid/debian trixie main",
        "deb http://HTTPS///a.invalid/debian trixie-updates main",
        "deb http://a.invalid/security trixie-security main",
    ]


def test_mysql_adds_the_unstable_suite() -> None:
    assert (
        sources().lines("bookworm", unstable=True)[-1] == "deb http://HTTPS///a.invalid/debian unstable main"
    )


def test_an_unknown_suite_is_a_usage_error_that_names_the_known_ones() -> None:
    with pytest.raises(SandboxError, match="bookworm, trixie") as error:
        sources().lines("potato")
    assert error.value.exit_code == 2
