"""What servers say to a client that does not encrypt, tried from another machine with nothing but bash."""

from __future__ import annotations

import shlex

from checks.gate import CouldNotLook, MachineUnderCheck

PATIENCE_S = 3
CONNECTED = "connected"


def redis_in_clear(machine: MachineUnderCheck, address: str, port: int = 6379) -> str:
    """The first printable bytes that answer a PING without TLS, empty when there are none.

    Raises CouldNotLook when there is no connection: silence then says nothing about encryption.
    """
    script = f"exec 3<>/dev/tcp/{address}/{port} || exit 7; echo {CONNECTED}; printf 'PING\\r\\n' >&3; head -c 64 <&3"
    answer = machine.run(
        f"timeout {PATIENCE_S} bash -c {shlex.quote(script)} 2>/dev/null | tr -cd '[:print:]'", cached=False
    )
    if not answer.stdout.startswith(CONNECTED):
        raise CouldNotLook(f"{machine.name}: no connection to {address}:{port}, so nothing was said in clear")
    return answer.stdout.removeprefix(CONNECTED).strip()
