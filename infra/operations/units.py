"""Keeps systemd units running on the configuration that is in place now, across killed and partial runs."""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra.api.command import StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation
from pyinfra.context import host

STAMPS = "/var/lib/launchgate/units"


class UnitState(FactBase[dict[str, str]]):
    """A unit's state, digests of its configuration now, and those it was last started and reloaded with."""

    @staticmethod
    def default() -> dict[str, str]:
        """Nothing is known."""
        return {}

    def command(self, unit: str, restart_on: list[str], reload_on: list[str]) -> str:
        """Prints key=value lines."""
        quoted = shlex.quote(unit)
        return (
            f"systemctl show -p ActiveState -p UnitFileState -p NeedDaemonReload {quoted}; "
            f"echo restart_now=$({_digest(restart_on)}); echo reload_now=$({_digest(reload_on)}); "
            f"cat {STAMPS}/{quoted} 2>/dev/null; true"
        )

    def process(self, output: list[str]) -> dict[str, str]:
        """Key to value."""
        return dict(line.split("=", 1) for line in output if "=" in line)


@operation()
def running(
    unit: str, restart_on: list[str] | None = None, reload_on: list[str] | None = None
) -> Generator[StringCommand, None, None]:
    """Enables a unit and has it run with what its files say now.

    Files in `restart_on` need a restart when they differ from what the unit was started with, those in
    `reload_on` only a reload. Shell patterns are allowed.
    """
    restart_on, reload_on = restart_on or [], reload_on or []
    state = host.get_fact(UnitState, unit, restart_on, reload_on)
    verbs = []
    if state.get("UnitFileState") not in ("enabled", "static", "alias", "generated", "enabled-runtime"):
        verbs.append("enable -q")
    if state.get("ActiveState") != "active" or state.get("restart_now") != state.get("restarted"):
        verbs.append("restart")
    elif state.get("reload_now") != state.get("reloaded"):
        verbs.append("reload-or-restart")
    if not verbs and state.get("NeedDaemonReload") != "yes":
        return
    quoted = shlex.quote(unit)
    steps = ["set -eu", f"mkdir -p {STAMPS}"]
    # Digests come before the unit reads its files: a change in between means a restart too many, never too few.
    steps.append(f"a=$({_digest(restart_on)}); b=$({_digest(reload_on)}); systemctl daemon-reload")
    for verb in verbs:
        steps.append(
            f"systemctl {verb} {quoted} || {{ systemctl --no-pager -l -n 20 status {quoted} >&2; exit 1; }}"
        )
    steps.append(
        f'printf "restarted=%s\\nreloaded=%s\\n" "$a" "$b" >{STAMPS}/.{quoted}.new; '
        f"mv -f {STAMPS}/.{quoted}.new {STAMPS}/{quoted}"
    )
    yield StringCommand("\n".join(steps))


class UnitFiles(FactBase[dict[str, str]]):
    """Each unit's UnitFileState and ActiveState as "masked inactive"; units that do not exist are left out."""

    @staticmethod
    def default() -> dict[str, str]:
        """Nothing is known."""
        return {}

    def command(self, units: list[str]) -> str:
        """Prints unit, file state and active state."""
        quoted = " ".join(shlex.quote(unit) for unit in units)
        return (
            f"for u in {quoted}; do echo $u $(systemctl show -p LoadState --value $u) "
            "$(systemctl show -p ActiveState --value $u); done"
        )

    def process(self, output: list[str]) -> dict[str, str]:
        """Unit to its two states."""
        return {unit: states for unit, _, states in (line.partition(" ") for line in output)}


@operation()
def masked(units: list[str]) -> Generator[StringCommand, None, None]:
    """Stops units and makes sure that nothing can start them, not even a reboot."""
    states = host.get_fact(UnitFiles, units)
    wrong = [unit for unit in units if states.get(unit) != "masked inactive"]
    if wrong:
        names = " ".join(shlex.quote(unit) for unit in wrong)
        yield StringCommand(
            f"systemctl mask -q {names}; systemctl stop {names}; systemctl reset-failed {names} || true"
        )


def _digest(paths: list[str]) -> str:
    if not paths:
        return "echo none"
    # Unquoted on purpose: a path may be a pattern such as /etc/nginx/conf.d/*.conf.
    return f"sha256sum {' '.join(paths)} 2>/dev/null | sha256sum | cut -c1-64"
