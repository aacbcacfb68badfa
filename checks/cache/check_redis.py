"""Redis as its operator sees it: named users only, a bound on memory, and what survives a restart."""

from __future__ import annotations

from checks.gate import Evidence, MachineUnderCheck, item
from checks.gate.fleet import Fleet
from checks.probes import redis
from inventories.schema import Inventory

UNIT = "redis-server"
SERVICE_USER = "search_app"
# Commands with which a client could read settings, change them, wipe everything or run code.
FORBIDDEN = ("config", "flushall", "flushdb", "shutdown", "debug", "acl", "keys", "replicaof", "module")
# Beside the data, Redis needs room to copy pages while it rewrites its file.
MACHINE_SHARE_MAXIMUM = 0.6
MEBIBYTE = 2**20


@item("APP-REDIS-1", on="cache")
def check_redis_runs_and_comes_back_after_a_boot(machine: MachineUnderCheck, evidence: Evidence) -> None:
    shown = machine.run(f"systemctl is-active {UNIT}; systemctl is-enabled {UNIT}")
    evidence.expect(
        looked_at=f"{UNIT}, now and at boot", observed=shown.lines(), expected=["active", "enabled"]
    )
    role = redis.info(machine).get("role", "")
    evidence.that(
        role in ("master", "slave"),
        looked_at="INFO role",
        observed=role or "nothing",
        expected="master or slave",
    )


@item("APP-REDIS-1", on="cache")
def check_only_named_users_may_log_in(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory, fleet: Fleet
) -> None:
    users = redis.users(machine)
    default = users.get("default", ())
    evidence.that(
        "off" in default and "on" not in default,
        looked_at="ACL of user default",
        observed="on" if "on" in default else "off" if "off" in default else "not listed",
        expected="off",
    )
    without_password = sorted(name for name, rules in users.items() if "on" in rules and "nopass" in rules)
    evidence.expect(looked_at="users who need no password", observed=without_password, expected=[])
    evidence.expect(
        looked_at="protected-mode", observed=redis.settings(machine).get("protected-mode"), expected="yes"
    )
    app = fleet.named(inventory.role("app")[0].name)
    said = redis.stranger_says(app, machine.address, machine.name, "PING")
    evidence.that(
        said.startswith(("-NOAUTH", "-NOPERM")),
        looked_at=f"PING over TLS without a login, from {app.name}",
        observed=said or "nothing",
        expected="-NOAUTH",
    )


@item("APP-REDIS-1", on="cache")
def check_the_service_may_not_administer_redis(machine: MachineUnderCheck, evidence: Evidence) -> None:
    users = redis.users(machine)
    evidence.that(
        "on" in users.get(SERVICE_USER, ()),
        looked_at=f"ACL of user {SERVICE_USER}",
        observed="on" if "on" in users.get(SERVICE_USER, ()) else "off or missing",
        expected="on",
    )
    allowed = redis.dry_run(machine, SERVICE_USER, FORBIDDEN)
    evidence.expect(
        looked_at=f"ACL DRYRUN for {SERVICE_USER}: {', '.join(FORBIDDEN)}", observed=allowed, expected=[]
    )


@item("APP-REDIS-2", on="cache")
def check_memory_is_bounded_as_declared(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    settings = redis.settings(machine)
    declared = inventory.settings.redis_maxmemory_mb
    in_force = int(settings.get("maxmemory", "0"))
    evidence.expect(looked_at="CONFIG GET maxmemory", observed=in_force, expected=declared * MEBIBYTE)
    evidence.expect(
        looked_at="CONFIG GET maxmemory-policy",
        observed=settings.get("maxmemory-policy"),
        expected=inventory.settings.redis_maxmemory_policy,
    )
    total = int(redis.info(machine).get("total_system_memory", "0"))
    evidence.that(
        0 < in_force <= total * MACHINE_SHARE_MAXIMUM,
        looked_at="maxmemory against the machine's memory",
        observed=f"{in_force // MEBIBYTE} of {total // MEBIBYTE} MiB",
        expected=f"at most {MACHINE_SHARE_MAXIMUM:.0%}",
    )


@item("APP-REDIS-2", on="cache")
def check_the_bound_survives_a_restart(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    file = redis.info(machine).get("config_file", "")
    shown = machine.must(f"cat {file or '/dev/null'}", sudo=True)
    written = redis.parse_file(shown.stdout)
    settings = inventory.settings
    evidence.expect(
        looked_at=f"maxmemory in {file}",
        observed=redis.in_bytes(written.get("maxmemory", "0")),
        expected=settings.redis_maxmemory_mb * MEBIBYTE,
    )
    evidence.expect(
        looked_at=f"maxmemory-policy in {file}",
        observed=written.get("maxmemory-policy", "noeviction"),
        expected=settings.redis_maxmemory_policy,
    )


@item("APP-REDIS-3", on="cache")
def check_what_must_survive_is_written_and_kept(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    settings, info = redis.settings(machine), redis.info(machine)
    declared = inventory.settings.redis_persistence
    evidence.expect(
        looked_at="CONFIG GET appendonly",
        observed=settings.get("appendonly"),
        expected="no" if declared == "none" else "yes",
    )
    if declared == "none":
        return
    evidence.expect(
        looked_at="CONFIG GET appendfsync", observed=settings.get("appendfsync"), expected=declared
    )
    states = {
        name: info.get(name, "not shown")
        for name in (
            "aof_enabled",
            "aof_last_write_status",
            "aof_last_bgrewrite_status",
            "rdb_last_bgsave_status",
        )
    }
    wanted = {name: "1" if name == "aof_enabled" else "ok" for name in states}
    evidence.expect(looked_at="INFO persistence", observed=states, expected=wanted)
    evidence.expect(
        looked_at="CONFIG GET no-appendfsync-on-rewrite",
        observed=settings.get("no-appendfsync-on-rewrite"),
        expected="no",
    )
    folder = f"{settings.get('dir', '')}/{settings.get('appenddirname', '')}"
    kind = machine.must(f"stat -f -c %T {folder} && findmnt -n -o FSTYPE -T {folder}", sudo=True).lines()
    evidence.that(
        "tmpfs" not in kind and "ramfs" not in kind,
        looked_at=f"file system below {folder}",
        observed=" ".join(kind),
        expected="one that outlives a boot",
    )
    written = redis.parse_file(machine.must(f"cat {info.get('config_file')}", sudo=True).stdout)
    evidence.expect(
        looked_at="appendonly in the file that a restart reads",
        observed=written.get("appendonly", "no"),
        expected="yes",
    )
