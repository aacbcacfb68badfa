"""A machine's processors, memory, storage and services, in one look."""

from __future__ import annotations

import re
from dataclasses import dataclass

from checks.gate import CouldNotLook, MachineUnderCheck

# Where services, logs and temporary files live; each may be a file system of its own.
DATA_PATHS = ("/", "/var", "/var/log", "/var/lib", "/var/tmp", "/tmp", "/srv")  # noqa: S108 - looked at only
SYNC_WRITES = 1
SYNC_ROUNDS = 10
_MARK = "=== launchgate {} ==="
# What every section prints is described where it is read, below.
_SECTIONS = {
    "processors": "getconf _NPROCESSORS_ONLN",
    "memory": "cat /proc/meminfo",
    "state": "systemctl is-system-running",
    "failed": "systemctl list-units --failed --plain --no-legend --no-pager",
    "slices": "systemctl show -p Id -p MemoryMax -- -.slice system.slice",
    "services": (
        "r=$(systemctl list-units --type=service --state=running --plain --no-legend --no-pager | "
        "awk '{print $1}' | xargs -r systemctl show -p Id -p MainPID --); printf '%s\\n' \"$r\""
    ),
    "processes": (
        "for p in 1 $(printf '%s\\n' \"$r\" | sed -n 's/^MainPID=//p'); do [ -e /proc/$p/limits ] && "
        "echo $p $(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/$p/status) "
        "$(awk '/^Max open files/ {print $4}' /proc/$p/limits); done 2>/dev/null"
    ),
    "storage": f"df -BM --output=target,avail,pcent,iavail,itotal {' '.join(DATA_PATHS)}",
    "writes": (
        f"f=$(mktemp /var/lib/.launchgate-write.XXXXXX); for i in {' '.join(map(str, range(SYNC_ROUNDS)))}; do "
        f"dd if=/dev/zero of=$f bs=4k count={SYNC_WRITES} oflag=dsync 2>&1 | tail -n 1; done; rm -f $f"
    ),
}
COMMAND = "; ".join(f"echo '{_MARK.format(name)}'; {command}" for name, command in _SECTIONS.items())


@dataclass(frozen=True)
class Storage:
    """The file system that holds a path."""

    path: str
    mount: str
    free_mb: int
    used_percent: int
    inodes_free_percent: int


@dataclass(frozen=True)
class Process:
    """What a process may use: processors, and files open at once."""

    processors: int
    open_files: int


@dataclass(frozen=True)
class Condition:
    """Everything seen in one look."""

    processors_online: int
    memory_mb: int
    state: str
    failed_units: tuple[str, ...]
    slice_limits: dict[str, str]  # MemoryMax as systemd prints it: bytes, or infinity
    processes: dict[str, Process]  # by service, and "PID 1", from which new services inherit
    storage: tuple[Storage, ...]
    sync_write_ms: tuple[float, ...]  # sorted, one for each round


def condition(machine: MachineUnderCheck) -> Condition:
    """What this machine has. Raises CouldNotLook when a part cannot be seen."""
    return parse(machine.run(COMMAND, sudo=True).stdout)


def sync_writes_again(machine: MachineUnderCheck) -> tuple[float, ...]:
    """Milliseconds of a new round of synchronous writes, sorted: the first one may have met a busy disk."""
    return _writes(machine.run(_SECTIONS["writes"], sudo=True, cached=False).stdout)


def parse(text: str) -> Condition:
    """The answer to COMMAND. Raises CouldNotLook when a part is missing."""
    parts = dict(re.findall(r"^=== launchgate (\w+) ===\n(.*?)(?=^=== launchgate |\Z)", text, re.M | re.S))
    if set(parts) != set(_SECTIONS):
        raise CouldNotLook(f"a look at the machine lacks {', '.join(sorted(set(_SECTIONS) - set(parts)))}")
    memory = re.search(r"^MemTotal:\s+(\d+) kB$", parts["memory"], re.M)
    if memory is None or not parts["processors"].strip().isdigit():
        raise CouldNotLook("the machine shows neither MemTotal nor its number of processors")
    return Condition(
        processors_online=int(parts["processors"]),
        memory_mb=int(memory[1]) // 1024,
        state=parts["state"].strip(),
        failed_units=tuple(line.split()[0] for line in parts["failed"].splitlines() if line.strip()),
        slice_limits={one["Id"]: one["MemoryMax"] for one in _blocks(parts["slices"])},
        processes=_processes(parts["services"], parts["processes"]),
        storage=_storage(parts["storage"]),
        sync_write_ms=_writes(parts["writes"]),
    )


def count_processors(text: str) -> int:
    """How many processors a list such as `0-2,5` names."""
    total = 0
    for part in text.split(","):
        low, _, high = part.partition("-")
        total += int(high or low) - int(low) + 1
    return total


def _blocks(text: str) -> list[dict[str, str]]:
    found = [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.split("\n\n")
    ]
    return [one for one in found if "Id" in one]


def _processes(services: str, processes: str) -> dict[str, Process]:
    seen = {}
    for line in processes.splitlines():
        words = line.split()
        if len(words) == 3:  # one that ended meanwhile shows nothing and has no say
            files = 2**31 if words[2] == "unlimited" else int(words[2])
            seen[words[0]] = Process(count_processors(words[1]), files)
    if "1" not in seen:
        raise CouldNotLook("the machine shows nothing about PID 1")
    pids = {"PID 1": "1", **{one["Id"]: one["MainPID"] for one in _blocks(services)}}
    return {name: seen[pid] for name, pid in pids.items() if pid in seen}


def _storage(text: str) -> tuple[Storage, ...]:
    lines = text.splitlines()[1:]
    if len(lines) != len(DATA_PATHS):
        raise CouldNotLook(f"df shows {len(lines)} of {len(DATA_PATHS)} paths")
    found = []
    for path, line in zip(DATA_PATHS, lines, strict=True):
        mount, free, used, inodes_free, inodes = line.split()
        # Some file systems (btrfs) have no fixed number of inodes and show 0.
        share = 100 * int(inodes_free) // int(inodes) if inodes not in ("0", "-") else 100
        found.append(Storage(path, mount, int(free.rstrip("M")), int(used.rstrip("%")), share))
    return tuple(found)


def _writes(text: str) -> tuple[float, ...]:
    took = [float(seconds) * 1000 / SYNC_WRITES for seconds in re.findall(r"copied, ([\d.e+-]+) s", text)]
    if len(took) != SYNC_ROUNDS:
        raise CouldNotLook(f"dd told {len(took)} of {SYNC_ROUNDS} times: {text[-200:]!r}")
    return tuple(sorted(took))
