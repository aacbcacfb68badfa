"""Machines that are smaller than they look."""

from __future__ import annotations

from collections.abc import Iterator

from checks.gate import DidNotApply, MachineUnderCheck, compliant_variant, sabotage

PARENT = ("INF-SRV-1",)


@sabotage("INF-SRV-1", on="ops1", reason="failed")
def a_unit_has_failed(machine: MachineUnderCheck) -> Iterator[None]:
    """A service died and nobody noticed, for the machine itself still answers."""
    machine.run("systemd-run --quiet --wait --unit=launchgate-sabotage /bin/false", sudo=True)
    if "launchgate-sabotage" not in machine.run("systemctl --failed --plain --no-legend").stdout:
        raise DidNotApply("the unit is not listed as failed")
    yield
    machine.must("systemctl reset-failed launchgate-sabotage", sudo=True)


@sabotage("INF-SRV-1", on="lb1", near_miss=True, reason="open files")
def the_proxy_may_open_few_files(machine: MachineUnderCheck) -> Iterator[None]:
    """LimitNOFILE is right in the unit; the running master has less."""
    pid = machine.must("systemctl show -P MainPID nginx").stdout.strip()
    look = f"prlimit --pid {pid} --nofile --output SOFT --noheadings"
    before = machine.must(look, sudo=True).stdout.strip()
    machine.must(f"prlimit --pid {pid} --nofile=512:", sudo=True)
    if machine.must(look, sudo=True).stdout.strip() != "512":
        raise DidNotApply("the limit did not change")
    yield
    machine.must(f"prlimit --pid {pid} --nofile={before}:", sudo=True)


@sabotage("INF-SRV-1.1", on="app2", also_red=PARENT, reason="PID 1 may use")
def all_services_are_pinned_to_one_core(machine: MachineUnderCheck) -> Iterator[None]:
    """Two processors are online; whatever PID 1 starts may use only the first."""
    yield from _pinned(machine, "1")


@sabotage("INF-SRV-1.1", on="lb1", near_miss=True, also_red=PARENT, reason="nginx.service may use")
def only_the_proxy_is_pinned_to_one_core(machine: MachineUnderCheck) -> Iterator[None]:
    """The machine and PID 1 have both cores; only the service that needs them has one."""
    yield from _pinned(machine, machine.must("systemctl show -P MainPID nginx").stdout.strip())


@sabotage("INF-SRV-1.2", on="cache1", also_red=PARENT, reason="MemTotal")
def the_machine_has_two_gigabytes(machine: MachineUnderCheck) -> Iterator[None]:
    """As a container with a small limit shows itself: /proc/meminfo is covered by one that says 2 GiB."""
    fake = "/run/launchgate-sabotage-meminfo"
    machine.must(
        f"sed 's/^MemTotal:.*/MemTotal:        2097152 kB/' /proc/meminfo >{fake} && mount --bind {fake} /proc/meminfo",
        sudo=True,
    )
    if "2097152" not in machine.must("head -1 /proc/meminfo").stdout:
        raise DidNotApply("/proc/meminfo still shows the real memory")
    yield
    machine.must(f"umount /proc/meminfo && rm {fake}", sudo=True)


@sabotage("INF-SRV-1.2", on="db2", near_miss=True, also_red=PARENT, reason="MemoryMax")
def services_may_use_a_fraction_of_the_memory(machine: MachineUnderCheck) -> Iterator[None]:
    """MemTotal is plenty; a run-time limit on system.slice gives all services together 2 GiB of it."""
    machine.must("systemctl set-property --runtime system.slice MemoryMax=2G", sudo=True)
    if machine.must("systemctl show -P MemoryMax system.slice").stdout.strip() != str(2 * 2**30):
        raise DidNotApply("system.slice has no limit")
    yield
    machine.must(
        "systemctl set-property --runtime system.slice MemoryMax=infinity && systemctl revert system.slice",
        sudo=True,
    )


@sabotage("INF-SRV-1.3", on="customer1", also_red=PARENT, reason="free space for /var/log")
def logs_go_to_a_tiny_file_system(machine: MachineUnderCheck) -> Iterator[None]:
    """The root disk has room; /var/log is a file system of 32 MiB."""
    machine.must("mount -t tmpfs -o size=32M tmpfs /var/log", sudo=True)
    if "tmpfs" not in machine.must("findmnt -no FSTYPE /var/log").stdout:
        raise DidNotApply("/var/log is not a file system of its own")
    yield
    machine.must("umount --lazy /var/log", sudo=True)


@sabotage("INF-SRV-1.3", on="ops1", near_miss=True, also_red=PARENT, reason="inodes")
def space_is_left_but_no_inodes(machine: MachineUnderCheck) -> Iterator[None]:
    """Gigabytes are free for temporary files, and yet no further file can be made."""
    machine.must(
        "mount -t tmpfs -o size=3G,nr_inodes=100,mode=1777 tmpfs /var/tmp && "
        "i=0; while [ $i -lt 98 ]; do : >/var/tmp/full.$i || break; i=$((i+1)); done",
        sudo=True,
    )
    shown = machine.must("df --output=iavail /var/tmp").lines()[-1]
    if int(shown) > 4:
        raise DidNotApply(f"{shown} inodes are still free on /var/tmp")
    yield
    machine.must("umount --lazy /var/tmp", sudo=True)


@compliant_variant("INF-SRV-1.3", on="app2")
def temporary_files_have_a_file_system_of_their_own(machine: MachineUnderCheck) -> Iterator[None]:
    """A file system of its own with room is as good as room on the root."""
    machine.must("mount -t tmpfs -o size=512M,mode=1777 tmpfs /var/tmp", sudo=True)
    yield
    machine.must("umount --lazy /var/tmp", sudo=True)


@compliant_variant("INF-SRV-1.1", on="db1")
def processors_are_named_one_by_one(machine: MachineUnderCheck) -> Iterator[None]:
    """An affinity that names every processor is no restriction."""
    count = int(machine.must("getconf _NPROCESSORS_ONLN").stdout)
    machine.must(f"taskset -cp {','.join(str(one) for one in range(count))} 1", sudo=True)
    yield


def _pinned(machine: MachineUnderCheck, pid: str) -> Iterator[None]:
    before = machine.must(f"taskset -cp {pid}", sudo=True).stdout.rpartition(": ")[2].strip()
    machine.must(f"taskset -cp 0 {pid}", sudo=True)
    if machine.must(f"taskset -cp {pid}", sudo=True).stdout.rpartition(": ")[2].strip() != "0":
        raise DidNotApply(f"process {pid} is not pinned")
    yield
    machine.must(f"taskset -cp {before} {pid}", sudo=True)


@compliant_variant("INF-SRV-1", on="ops1")
def a_unit_has_ended_well(machine: MachineUnderCheck) -> Iterator[None]:
    """A task that did its work and is kept as ended is no failure."""
    machine.must("systemd-run --quiet --unit=launchgate-variant --remain-after-exit /bin/true", sudo=True)
    yield
    machine.must("systemctl stop launchgate-variant", sudo=True)


@compliant_variant("INF-SRV-1.2", on="ops1")
def services_have_a_generous_limit(machine: MachineUnderCheck) -> Iterator[None]:
    """A limit above the declared minimum takes away nothing that was asked for."""
    machine.must("systemctl set-property --runtime system.slice MemoryMax=6G", sudo=True)
    yield
    machine.must(
        "systemctl set-property --runtime system.slice MemoryMax=infinity && systemctl revert system.slice",
        sudo=True,
    )
