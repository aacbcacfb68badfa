"""Installs Debian packages in one transaction, with nothing started half-configured on the way."""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra.api.command import StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation
from pyinfra.context import host

GUARD = "/usr/sbin/policy-rc.d"
LOCK = "/run/launchgate-packages.lock"


class PackageStates(FactBase[dict[str, str]]):
    """dpkg's state of each package ("installed" when it is), and whether a guard was left behind."""

    @staticmethod
    def default() -> dict[str, str]:
        """Nothing is known."""
        return {}

    def command(self, names: list[str]) -> str:
        """One query for all names."""
        quoted = " ".join(shlex.quote(name) for name in names)
        return (
            f"dpkg-query -W -f '${{Package}} ${{db:Status-Status}}\\n' {quoted} 2>/dev/null; "
            f"[ -e {GUARD} ] && echo policy-rc.d left; "
            '[ -z "$(dpkg --audit 2>/dev/null)" ] || echo dpkg broken; true'
        )

    def process(self, output: list[str]) -> dict[str, str]:
        """Package to state."""
        return {name: state for name, _, state in (line.partition(" ") for line in output) if state}


@operation()
def installed(
    names: list[str], suite: str | None = None, refresh: str | None = None
) -> Generator[StringCommand, None, None]:
    """Installs what is missing.

    `suite` is an apt suite that these packages may come from although it is pinned low. `refresh` is a
    shell test; when it fails, the package lists are fetched even though every package is there.
    """
    states = host.get_fact(PackageStates, names)
    missing = [name for name in names if states.get(name) != "installed"]
    if missing or "policy-rc.d" in states or "dpkg" in states:
        yield StringCommand(_script(missing, suite))
    if refresh is not None and host.get_fact(Refused, refresh):
        yield StringCommand(f"flock -w 600 {LOCK} apt-get -qq update")


class Refused(FactBase[bool]):
    """Whether a shell test fails."""

    @staticmethod
    def default() -> bool:
        """A test that could not run counts as failed."""
        return True

    def command(self, test: str) -> str:
        """The test, with its outcome in words."""
        return f"if {test}; then echo holds; else echo refused; fi"

    def process(self, output: list[str]) -> bool:
        """True when it failed."""
        return output[-1:] != ["holds"]


def _script(missing: list[str], suite: str | None) -> str:
    wanted = " ".join(shlex.quote(name) for name in missing)
    target = f"-t {shlex.quote(suite)} " if suite else ""
    install = (
        "apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "
        f"-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold {target}install"
    )
    inner = "\n".join(
        [
            "set -eu; export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8",
            # Daemons start later, once their configuration is in place; a killed run leaves the guard to the next.
            f"printf '#!/bin/sh\\nexit 101\\n' >{GUARD}; chmod 755 {GUARD}; trap 'rm -f {GUARD}' EXIT",
            "dpkg --configure -a --force-confdef --force-confold >/dev/null",
            *(
                [f"{install} {wanted} || {{ apt-get -qq update; {install} --fix-missing {wanted}; }}"]
                if missing
                else []
            ),
        ]
    )
    # Our own lock: a script that a killed run left running finishes before the next begins.
    return f"flock -w 600 {LOCK} sh -c {shlex.quote(inner)} >/dev/null"
