"""What servers say to a client that does not encrypt, tried from another machine with nothing but bash."""

from __future__ import annotations

import shlex

from checks.gate import MachineUnderCheck

PATIENCE_S = 3


def redis_in_clear(machine: MachineUnderCheck, address: str, port: int = 6379) -> str:
    """The first printable bytes that answer a PING without TLS, empty when there are none."""
    script = f"exec 3<>/dev/tcp/{address}/{port} || exit 7; printf 'PING\\r\\n' >&3; head -c 64 <&3"
    answer = machine.run(
        f"timeout {PATIENCE_S} bash -c {shlex.quote(script)} 2>/dev/null | tr -cd '[:print:]'", cached=False
    )
    return answer.stdout.strip()
