"""Reaches a state by a script, and knows on the next run whether wish and state are still the same."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Generator

from pyinfra.api.command import StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation
from pyinfra.context import host

STAMPS = "/var/lib/launchgate/states"


class StampedState(FactBase[dict[str, str]]):
    """The stamp that the last successful run left, and a digest of what `observe` prints now."""

    @staticmethod
    def default() -> dict[str, str]:
        """Nothing is known."""
        return {}

    def command(self, key: str, observe: str) -> str:
        """Prints key=value lines."""
        return f"cat {STAMPS}/{shlex.quote(key)} 2>/dev/null; echo now=$({_digest(observe)})"

    def process(self, output: list[str]) -> dict[str, str]:
        """Key to value."""
        return dict(line.split("=", 1) for line in output if "=" in line)


@operation()
def reached(
    key: str, wanted: str, observe: str, apply: str, stdin: str | None = None
) -> Generator[StringCommand, None, None]:
    """Runs `apply` unless it succeeded for `wanted` before and `observe` still prints what it did then.

    `wanted` is any text that changes when the wish does; only its digest is stored. `apply` must be safe to
    repeat; secrets go to it on standard input. `observe` prints the real state: a change by hand is undone.
    """
    digest = hashlib.sha256(wanted.encode()).hexdigest()
    state = host.get_fact(StampedState, key, observe)
    if state.get("wanted") == digest and state.get("observed") == state.get("now"):
        return
    name = shlex.quote(key)
    script = "\n".join(
        [
            f"set -eu; umask 077; mkdir -p {STAMPS}",
            apply,
            f"seen=$({_digest(observe)})",
            f'printf "wanted=%s\\nobserved=%s\\n" {digest} "$seen" >{STAMPS}/.{name}.new',
            f"mv -f {STAMPS}/.{name}.new {STAMPS}/{name}",
        ]
    )
    yield StringCommand(script, _stdin=stdin) if stdin is not None else StringCommand(script)


def _digest(observe: str) -> str:
    return f"{{ {observe}; }} 2>&1 | sha256sum | cut -c1-64"
