"""Redis whose file is right, and Redis that is right until its next start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from checks.breaks.files import edited
from checks.gate import DidNotApply, MachineUnderCheck, compliant_variant, sabotage
from inventories.schema import Inventory

FILE = "/etc/redis/redis.conf"
# Of a password that nobody knows.
DIGEST = "ab" * 32


@sabotage("APP-REDIS-1", on="cache", near_miss=True, reason="default")
def the_default_user_is_back(machine: MachineUnderCheck) -> Iterator[None]:
    """The ACL file switches it off; a run-time change lets every client try its password."""
    with _acl(machine, f"default on #{DIGEST} +@all", shows="user default on"):
        yield


@sabotage("APP-REDIS-1", on="cache", near_miss=True, reason="ACL DRYRUN")
def the_service_may_change_settings(machine: MachineUnderCheck) -> Iterator[None]:
    """Its password still protects it; a hole in the service would now reach CONFIG."""
    with _acl(machine, "search_app +config", shows="+config"):
        yield


@sabotage("APP-REDIS-1", on="cache", reason="at boot")
def redis_does_not_come_back_after_a_boot(machine: MachineUnderCheck) -> Iterator[None]:
    """Running now."""
    machine.must("systemctl disable --quiet redis-server", sudo=True)
    if machine.run("systemctl is-enabled redis-server").stdout.strip() != "disabled":
        raise DidNotApply("redis-server is still enabled")
    yield
    machine.must("systemctl enable --quiet redis-server", sudo=True)


@compliant_variant("APP-REDIS-1", on="cache")
def another_user_has_a_password(machine: MachineUnderCheck) -> Iterator[None]:
    """One more named user with a password and nothing but PING is no stranger."""
    with _acl(machine, f"probe on #{DIGEST} +ping", shows="user probe on"):
        yield


@sabotage("APP-REDIS-2", on="cache", near_miss=True, reason="maxmemory: saw 0")
def the_bound_was_lifted_at_run_time(machine: MachineUnderCheck) -> Iterator[None]:
    """The file bounds memory; the running server does not."""
    with _config(machine, "maxmemory", "0"):
        yield


@sabotage("APP-REDIS-2", on="cache", reason="maxmemory-policy")
def nothing_gives_way_when_memory_is_full(machine: MachineUnderCheck) -> Iterator[None]:
    """noeviction: writes fail instead."""
    with _config(machine, "maxmemory-policy", "noeviction"):
        yield


@sabotage("APP-REDIS-2", on="cache", near_miss=True, reason="maxmemory in /")
def the_file_has_the_wrong_unit(machine: MachineUnderCheck) -> Iterator[None]:
    """`m` is a million, `mb` is 2^20: after the next start the bound is another."""
    script = "sed -i 's/^\\(maxmemory [0-9]*\\)mb$/\\1m/' $f && ! grep -q '^maxmemory [0-9]*mb' $f"
    with edited(machine, FILE, script, shows="maxmemory "):
        yield


@compliant_variant("APP-REDIS-2", on="cache")
def the_file_counts_in_bytes(machine: MachineUnderCheck, inventory: Inventory) -> Iterator[None]:
    """The same bound in bytes."""
    size = inventory.settings.redis_maxmemory_mb * 2**20
    with edited(machine, FILE, f"sed -i 's/^maxmemory .*/maxmemory {size}/' $f", shows=f"maxmemory {size}"):
        yield


@sabotage("APP-REDIS-3", on="cache", reason="appendonly")
def nothing_is_written_any_more(machine: MachineUnderCheck) -> Iterator[None]:
    """Switched off at run time, for speed."""
    with _config(machine, "appendonly", "no"):
        yield


@sabotage("APP-REDIS-3", on="cache", near_miss=True, reason="appendfsync")
def writes_wait_for_the_kernels_mood(machine: MachineUnderCheck) -> Iterator[None]:
    """appendonly is on; nothing asks the disk to have it."""
    with _config(machine, "appendfsync", "no"):
        yield


@sabotage("APP-REDIS-3", on="cache", near_miss=True, reason="a restart reads")
def the_next_start_begins_empty(machine: MachineUnderCheck) -> Iterator[None]:
    """The running server writes its file; a start with this configuration will not read it."""
    with edited(machine, FILE, "sed -i 's/^appendonly yes/appendonly no/' $f", shows="appendonly no"):
        yield


@compliant_variant("APP-REDIS-3", on="cache")
def the_file_is_rewritten_more_often(machine: MachineUnderCheck) -> Iterator[None]:
    """When to rewrite the file is a matter of taste."""
    with _config(machine, "auto-aof-rewrite-percentage", "50"):
        yield


@contextmanager
def _config(machine: MachineUnderCheck, name: str, value: str) -> Iterator[None]:
    look = f"redis-operator CONFIG GET {name} | tail -n 1"
    before = machine.must(look, sudo=True).stdout.strip()
    try:
        machine.must(f"redis-operator CONFIG SET {name} {value}", sudo=True)
        if machine.must(look, sudo=True).stdout.strip() != value:
            raise DidNotApply(f"{name} is not {value}")
        yield
    finally:
        machine.must(f"redis-operator CONFIG SET {name} {before}", sudo=True)


@contextmanager
def _acl(machine: MachineUnderCheck, rule: str, *, shows: str) -> Iterator[None]:
    try:
        machine.must(f"redis-operator ACL SETUSER {rule}", sudo=True)
        if shows not in machine.must("redis-operator ACL LIST", sudo=True).stdout:
            raise DidNotApply(f"ACL LIST does not show {shows!r}")
        yield
    finally:
        machine.must("redis-operator ACL LOAD", sudo=True)
