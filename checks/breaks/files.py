"""A file changed for a while, and put back byte for byte with owner, mode and time."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from checks.gate import DidNotApply, MachineUnderCheck

KEPT = "/run/launchgate-kept"


@contextmanager
def edited(machine: MachineUnderCheck, path: str, script: str, *, shows: str) -> Iterator[None]:
    """Run `script` (shell; it changes `path`, called $f there), and put the file back afterwards.

    `shows`: fixed text that the file must hold then. Raises DidNotApply when it does not.
    """
    quoted = shlex.quote(path)
    machine.must(f"cp -a {quoted} {KEPT}", sudo=True)
    try:
        machine.must(f"f={quoted}; {script}", sudo=True)
        if not machine.run(f"grep -qF -- {shlex.quote(shows)} {quoted}", sudo=True).ok:
            raise DidNotApply(f"{path} does not hold {shows!r}")
        yield
    finally:
        machine.must(f"cp -a {KEPT} {quoted} && rm {KEPT}", sudo=True)


@contextmanager
def added(machine: MachineUnderCheck, path: str, content: str, *, mode: str = "644") -> Iterator[None]:
    """Have a file that was not there, and take it away afterwards. Raises DidNotApply when it was there."""
    quoted = shlex.quote(path)
    if machine.run(f"test -e {quoted}", sudo=True).ok:
        raise DidNotApply(f"{path} is there already")
    try:
        machine.must(f"install -m {mode} /dev/stdin {quoted}", sudo=True, stdin=content)
        yield
    finally:
        machine.must(f"rm -f {quoted}", sudo=True)


@contextmanager
def with_mode(machine: MachineUnderCheck, path: str, mode: str) -> Iterator[None]:
    """Give a path another mode for a while."""
    quoted = shlex.quote(path)
    before = machine.must(f"stat -c %a {quoted}", sudo=True).stdout.strip()
    if before == mode:
        raise DidNotApply(f"{path} has mode {mode} already")
    try:
        machine.must(f"chmod {mode} {quoted}", sudo=True)
        yield
    finally:
        machine.must(f"chmod {before} {quoted}", sudo=True)
