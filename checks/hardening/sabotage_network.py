"""Networks that are private at a glance; databases and caches that answer one more than they should."""

from __future__ import annotations

from collections.abc import Iterator

from checks.breaks import sql
from checks.breaks.firewall import inserted
from checks.gate import DidNotApply, MachineUnderCheck, compliant_variant, sabotage
from inventories.schema import Inventory


@sabotage("HARD-NET-1", on="db1", reason="outside the private ranges")
def a_database_has_a_public_address(machine: MachineUnderCheck) -> Iterator[None]:
    """Somebody gave it one to fetch a package, once."""
    yield from _with_address(machine, "203.0.113.31/32")


@sabotage("HARD-NET-1", on="cache", near_miss=True, reason="outside the private ranges")
def an_address_only_looks_private(machine: MachineUnderCheck) -> Iterator[None]:
    """172.32 is one past the end of 172.16/12 and belongs to a telephone company."""
    yield from _with_address(machine, "172.32.0.41/32")


@sabotage("HARD-NET-1", on="ops1", near_miss=True, reason="forwarding")
def a_machine_forwards_packets(machine: MachineUnderCheck) -> Iterator[None]:
    """Addresses are private; a machine that routes leads into them all the same."""
    machine.must("sysctl -qw net.ipv4.ip_forward=1", sudo=True)
    if machine.must("sysctl -n net.ipv4.ip_forward").stdout.strip() != "1":
        raise DidNotApply("it does not forward")
    yield
    # Switching forwarding sets redirects back to the kernel's own defaults, so all is loaded again.
    machine.must("sysctl -qw net.ipv4.ip_forward=0 && systemctl restart systemd-sysctl", sudo=True)


@compliant_variant("HARD-NET-1", on="ops1")
def a_machine_has_a_second_private_address(machine: MachineUnderCheck) -> Iterator[None]:
    """A second address from a private range is private."""
    yield from _with_address(machine, "192.168.77.5/32")


@sabotage("HARD-NET-2", on="db2", also_red=("HARD-SRV-1",), reason="3306: open")
def the_database_port_is_open_to_all(machine: MachineUnderCheck) -> Iterator[None]:
    """A rule for an afternoon, before all others."""
    with inserted(machine, "tcp dport 3306 accept"):
        yield


@sabotage("HARD-NET-2", on="db1", near_miss=True, reason="reporting@%")
def an_account_may_come_from_anywhere(machine: MachineUnderCheck) -> Iterator[None]:
    """The firewall still holds; the day it does not, this account lets anyone try."""
    with sql.changed(
        machine,
        "CREATE USER 'reporting'@'%' REQUIRE SSL",
        "DROP USER 'reporting'@'%'",
        shows="SELECT 1 FROM mysql.user WHERE User = 'reporting' AND Host = '%'",
        database="mysql",
    ):
        yield


@sabotage("HARD-NET-2", on="db1", near_miss=True, reason="socket units")
def a_socket_unit_opens_the_port_after_the_next_boot(
    machine: MachineUnderCheck, inventory: Inventory
) -> Iterator[None]:
    """bind-address is right and the port is closed; the package's socket unit ignores both once booted."""
    mariadb = inventory.settings.database_flavour == "mariadb"
    unit = "mariadb.socket" if mariadb else "mysql.socket"
    own = f"/etc/systemd/system/{unit}"
    if mariadb:
        machine.must(f"systemctl unmask --quiet {unit} && systemctl enable --quiet {unit}", sudo=True)
    else:
        text = "[Socket]\nListenStream=3306\n[Install]\nWantedBy=sockets.target\n"
        machine.must(f"install -m 644 /dev/stdin {own}", sudo=True, stdin=text)
        machine.must(f"systemctl daemon-reload && systemctl enable --quiet {unit}", sudo=True)
    if machine.run(f"systemctl is-enabled {unit}").stdout.strip() != "enabled":
        raise DidNotApply(f"{unit} is not enabled")
    yield
    machine.must(f"systemctl disable --quiet {unit}", sudo=True)
    after = f"systemctl mask --quiet {unit}" if mariadb else f"rm {own}; systemctl daemon-reload"
    machine.must(after, sudo=True)


@compliant_variant("HARD-NET-2", on="db1")
def an_account_is_bound_to_this_machine(machine: MachineUnderCheck) -> Iterator[None]:
    """An account for this machine alone opens nothing to anyone."""
    with sql.changed(
        machine,
        "CREATE USER 'reporting'@'localhost'",
        "DROP USER 'reporting'@'localhost'",
        shows="SELECT 1 FROM mysql.user WHERE User = 'reporting' AND Host = 'localhost'",
        database="mysql",
    ):
        yield


@sabotage("HARD-NET-3", on="cache", also_red=("HARD-SRV-1",), reason="6379: open")
def the_cache_port_is_open_to_all(machine: MachineUnderCheck) -> Iterator[None]:
    """A rule for an afternoon, before all others."""
    with inserted(machine, "tcp dport 6379 accept"):
        yield


@sabotage("HARD-NET-3", on="cache", near_miss=True, reason="sockets on port 6379")
def redis_listens_on_every_address(machine: MachineUnderCheck) -> Iterator[None]:
    """The file binds one address and the firewall holds; a run-time change binds them all."""
    before = machine.must("redis-operator CONFIG GET bind | tail -n 1", sudo=True).stdout.strip()
    try:
        machine.must("redis-operator CONFIG SET bind '* -::*'", sudo=True)
        if "0.0.0.0:6379" not in machine.must("ss -Hltn", sudo=True).stdout:
            raise DidNotApply("Redis did not bind every address")
        yield
    finally:
        machine.must(f"redis-operator CONFIG SET bind '{before}'", sudo=True)


@compliant_variant("HARD-NET-3", on="cache")
def redis_listens_on_its_network_address_alone(machine: MachineUnderCheck) -> Iterator[None]:
    """Without loopback it is closed to local strangers too."""
    before = machine.must("redis-operator CONFIG GET bind | tail -n 1", sudo=True).stdout.strip()
    try:
        machine.must(f"redis-operator CONFIG SET bind {machine.address}", sudo=True)
        yield
    finally:
        machine.must(f"redis-operator CONFIG SET bind '{before}'", sudo=True)


def _with_address(machine: MachineUnderCheck, address: str) -> Iterator[None]:
    # On the loopback interface it is as much the machine's own, and the network stays undisturbed.
    machine.must(f"ip address add {address} dev lo", sudo=True)
    if address not in machine.must("ip address show dev lo").stdout:
        raise DidNotApply(f"the machine has no address {address}")
    yield
    machine.must(f"ip address del {address} dev lo", sudo=True)
