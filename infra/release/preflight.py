"""Looks at every machine before one is touched: reachable, root by sudo, room on the disk, no stranger on our ports."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from infra.release.errors import CouldNotLook, ReleaseError
from infra.release.fleet import Member

ROOM_MIB = (
    600  # a release installed and unpacked is about 150 MiB; its predecessor and a candidate lie beside it
)
# Who may already listen where; "systemd" stands for a socket unit of the same package.
PORTS: dict[str, dict[int, tuple[str, ...]]] = {
    "lb": {80: ("nginx",), 443: ("nginx",)},
    "app": {8443: ("nginx",)},
    "db": {3306: ("mariadbd", "mysqld", "systemd")},
    "customer": {3306: ("mariadbd", "mysqld", "systemd")},
    "cache": {6379: ("redis-server",)},
}
# A bare machine has no ss: the kernel's own tables say who listens.
_LOOK = """
echo "uid $(id -u)"
for place in / /var /srv; do [ -d $place ] && echo "free $place $(df -Pm $place | awk 'NR==2 {print $4}')"; done
for port in %s; do
  hex=$(printf ':%%04X' $port)
  inode=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v h="$hex" '$4 == "0A" && $2 ~ (h "$") {print $10; exit}')
  [ -n "$inode" ] || continue
  fd=$(find /proc/[0-9]*/fd -lname "socket:\\[$inode\\]" -print -quit 2>/dev/null)
  echo "port $port $(cat "${fd%%/fd/*}/comm" 2>/dev/null || echo someone)"
done
"""


def look(members: Sequence[Member]) -> None:
    """Look at all machines at the same time. Raises CouldNotLook naming every machine that cannot be reached, else
    ReleaseError naming every fault of those that can; nothing is changed."""
    with ThreadPoolExecutor(max_workers=min(32, len(members))) as pool:
        answers = list(pool.map(_look_at, members))
    blind = [text for kind, text in answers if kind == "blind"]
    faults = [text for kind, text in answers if kind == "fault"]
    if blind:
        raise CouldNotLook("; ".join(blind))
    if faults:
        raise ReleaseError("; ".join(faults))


def _look_at(member: Member) -> tuple[str, str]:
    ports = {port: allowed for role in member.roles for port, allowed in PORTS.get(role, {}).items()}
    try:
        answer = member.transport.run(_LOOK % " ".join(map(str, ports)), sudo=True, timeout=30)
    except CouldNotLook as why:
        return "blind", str(why)
    faults = _faults(answer.stdout, ports)
    return ("fault", "; ".join(f"{member.name}: {fault}" for fault in faults)) if faults else ("", "")


def _faults(said: str, ports: dict[int, tuple[str, ...]]) -> list[str]:
    faults, heard = [], set()
    for line in said.splitlines():
        kind, _, rest = line.partition(" ")
        name, _, value = rest.partition(" ")
        heard.add(kind)
        if kind == "free" and value.isdigit() and int(value) < ROOM_MIB:
            faults.append(f"only {value} MiB free on {name}, a release needs {ROOM_MIB}; make room")
        if kind == "port" and value not in ports[int(name)]:
            faults.append(
                f"port {name} is taken by `{value}`; stop it, {ports[int(name)][0]} must listen there"
            )
    if "free" not in heard:
        faults.append(
            f"its disks could not be looked at ({said.strip()[-120:] or 'no answer'}); is df there?"
        )
    return faults
