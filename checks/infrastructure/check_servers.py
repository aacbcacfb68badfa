"""Machines have the processors, memory and storage that the inventory declares as the least they need."""

from __future__ import annotations

import re
import time

from checks.gate import CouldNotLook, Evidence, MachineUnderCheck, item
from checks.probes.server import condition, sync_writes_again
from inventories.schema import Inventory

# The kernel keeps some memory for itself: a machine sold with 4096 MiB shows about 3900.
KERNEL_SHARE = 0.05
TEMPORARY_PATHS = ("/tmp", "/var/tmp")  # noqa: S108 - looked at only
TEMPORARY_FREE_MB = 64
INODES_FREE_PERCENT = 5
SECOND_LOOKS = 3
PAUSE_S = 1.0
# Servers that hold a file for every client.
SERVERS = re.compile(r"(nginx|mariadb|mysql|redis-server|search-api@\w+|ssh)\.service")


@item("INF-SRV-1", on="all")
def check_the_machine_runs_without_a_failed_unit(machine: MachineUnderCheck, evidence: Evidence) -> None:
    seen = condition(machine)
    evidence.expect(looked_at="failed units", observed=seen.failed_units, expected=())
    evidence.that(
        seen.state in ("running", "starting"),
        looked_at="systemctl is-system-running",
        observed=seen.state,
        expected="running",
    )


@item("INF-SRV-1", on="all")
def check_servers_may_hold_enough_files_open(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    least = inventory.settings.thresholds.open_files_minimum
    servers = {
        name: one.open_files for name, one in condition(machine).processes.items() if SERVERS.fullmatch(name)
    }
    if not servers:
        raise CouldNotLook(f"{machine.name}: no server runs, not even sshd")
    for name, files in servers.items():
        evidence.that(
            files >= least,
            looked_at=f"open files that {name} may hold",
            observed=files,
            expected=f"at least {least}",
        )


@item("INF-SRV-1", "INF-SRV-1.1", on="all")
def check_enough_processors_may_be_used(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    least = inventory.settings.thresholds.cpus_minimum
    seen = condition(machine)
    usable = {name: one.processors for name, one in seen.processes.items()}
    for what, count in {"processors online": seen.processors_online, **usable}.items():
        evidence.that(
            count >= least,
            looked_at=what if what == "processors online" else f"processors that {what} may use",
            observed=count,
            expected=f"at least {least}",
        )


@item("INF-SRV-1", "INF-SRV-1.2", on="all")
def check_enough_memory_may_be_used(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    least = inventory.settings.thresholds.memory_minimum_mb
    enough = least * (1 - KERNEL_SHARE)
    seen = condition(machine)
    evidence.that(
        seen.memory_mb >= enough,
        looked_at="MemTotal",
        observed=f"{seen.memory_mb} MiB",
        expected=f"at least {least} MiB, less {KERNEL_SHARE:.0%} for the kernel",
    )
    # A limit on everything at once makes the rest of the memory useless, enforced by this kernel or not.
    for name, limit in seen.slice_limits.items():
        evidence.that(
            limit in ("infinity", "") or int(limit) >= enough * 2**20,
            looked_at=f"MemoryMax of {name}",
            observed=limit or "none",
            expected=f"no limit below {least} MiB",
        )


@item("INF-SRV-1", "INF-SRV-1.3", on="all")
def check_data_paths_have_room(machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory) -> None:
    thresholds = inventory.settings.thresholds
    for one in condition(machine).storage:
        alone = one.mount in TEMPORARY_PATHS  # a file system of its own for nothing but temporary files
        least = TEMPORARY_FREE_MB if alone else thresholds.disk_free_minimum_mb
        where = f"{one.path} (on {one.mount})"
        evidence.that(
            one.free_mb >= least,
            looked_at=f"free space for {where}",
            observed=f"{one.free_mb} MiB",
            expected=f"at least {least} MiB",
        )
        evidence.that(
            one.used_percent <= thresholds.disk_used_maximum_percent,
            looked_at=f"share in use for {where}",
            observed=f"{one.used_percent} %",
            expected=f"at most {thresholds.disk_used_maximum_percent} %",
        )
        evidence.that(
            one.inodes_free_percent >= INODES_FREE_PERCENT,
            looked_at=f"inodes free for {where}",
            observed=f"{one.inodes_free_percent} %",
            expected=f"at least {INODES_FREE_PERCENT} %",
        )


@item("INF-SRV-1", "INF-SRV-1.3", on="all")
def check_storage_is_as_quick_as_a_solid_state_device(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    # Cloud volumes often lie about being "rotational", so the write itself is timed.
    most = inventory.settings.thresholds.disk_sync_write_maximum_ms
    took = condition(machine).sync_write_ms
    for _ in range(SECOND_LOOKS):
        if took[0] <= most:
            break
        # A slow disk is slow every time; a busy one is not.
        time.sleep(PAUSE_S)
        took = min(took, sync_writes_again(machine))
    evidence.that(
        took[0] <= most,
        looked_at=f"4 KiB synchronous write below /var/lib, best of {len(took)}",
        observed=f"{took[0]:.2f} ms (slowest {took[-1]:.2f} ms)",
        expected=f"at most {most} ms",
    )
