"""Which TCP ports really answer, tried from one machine to another with nothing but bash."""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum

from checks.gate import CouldNotLook, MachineUnderCheck

# A dropped packet shows as silence. On a private network an answer takes milliseconds; who stays silent
# for this long although an answer was due is asked once more, with patience.
SILENCE_S = 1.0
PATIENCE_S = 4.0
MOST_TARGETS = 400

Target = tuple[str, int]


class Answer(StrEnum):
    """What a connection attempt met."""

    OPEN = "open"
    REFUSED = "refused"  # the packet passed the firewall, but nobody listens
    SILENT = "silent"


def from_machine(
    machine: MachineUnderCheck, targets: Iterable[Target], *, wanted_open: Iterable[Target] = ()
) -> dict[Target, Answer]:
    """What each (address, port) answers to this machine. `wanted_open` ones are asked again when not open.

    Raises CouldNotLook when bash is missing there or prints something else.
    """
    wanted = sorted(set(targets))
    answers = _asked(machine, wanted, SILENCE_S)
    again = sorted({one for one in wanted_open if answers.get(one) is not Answer.OPEN})
    if again:
        answers |= _asked(machine, again, PATIENCE_S)
    return answers


def from_here(targets: Iterable[Target], *, timeout_s: float = SILENCE_S) -> dict[Target, Answer]:
    """What each (address, port) answers to this computer."""
    wanted = sorted(set(targets))
    if not wanted:
        return {}
    with ThreadPoolExecutor(max_workers=min(64, len(wanted))) as pool:
        return dict(zip(wanted, pool.map(lambda one: _tried(one, timeout_s), wanted), strict=True))


def _asked(machine: MachineUnderCheck, targets: list[Target], silence_s: float) -> dict[Target, Answer]:
    if len(targets) > MOST_TARGETS:
        raise CouldNotLook(f"{machine.name}: {len(targets)} ports to try, at most {MOST_TARGETS} are allowed")
    if not targets:
        return {}
    seen = parse(machine.must(script(targets, silence_s), timeout_s=silence_s + 15).stdout)
    return {one: seen.get(one, Answer.SILENT) for one in targets}


def script(targets: Iterable[Target], silence_s: float) -> str:
    """Shell that tries all targets at once and prints `address port answer` for each that answers."""
    words = " ".join(f"{address}/{port}" for address, port in targets)
    # No process is started per port: bash opens the connection itself, in one fork each.
    inner = (
        f"set +m; for t in {words}; do ( "
        "if e=$( { exec 3<>/dev/tcp/$t; } 2>&1 ); then echo $t open; "
        'else case $e in *refused*) echo $t refused;; *"not supported"*|*"No such file"*) echo $t broken;; '
        "esac; fi ) & done; "
        f"( sleep {silence_s:g}; kill 0 ) >/dev/null 2>&1 & "
        "trap 'exit 0' TERM; j=$(jobs -p | grep -vx $!); "
        '[ -z "$j" ] || wait $j; trap - TERM; kill $! 2>/dev/null; exit 0'
    )
    # A session of its own, so that `kill 0` ends exactly what was started here.
    return f"setsid -w bash -c {shlex.quote(inner)} 2>/dev/null"


def parse(text: str) -> dict[Target, Answer]:
    """Answers that `script` printed. Raises CouldNotLook for any other line."""
    found: dict[Target, Answer] = {}
    for line in text.splitlines():
        match = re.fullmatch(r"(\S+)/(\d+) (open|refused)", line.strip())
        if match is None:
            raise CouldNotLook(f"a probe of ports printed {line!r}")
        found[match[1], int(match[2])] = Answer(match[3])
    return found


def _tried(target: Target, timeout_s: float) -> Answer:
    try:
        with socket.create_connection(target, timeout=timeout_s):
            return Answer.OPEN
    except ConnectionRefusedError:
        return Answer.REFUSED
    except OSError:
        return Answer.SILENT
