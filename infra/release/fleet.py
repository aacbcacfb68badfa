"""A fleet as the conductor sees it: app hosts in order, the machine that keeps the lock, and where records go."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infra.release.lock import FleetLock
from infra.release.slots import AppHost
from infra.release.state import StateKeeper
from infra.release.transport import Ssh, Transport
from inventories.schema import Inventory

DIRECTORY = "/var/lib/launchgate-release"


@dataclass(frozen=True)
class Member:
    """A machine with its roles and how to run a command on it."""

    transport: Transport
    roles: tuple[str, ...]

    @property
    def name(self) -> str:
        """The machine's name in the inventory."""
        return self.transport.name


@dataclass(frozen=True)
class Fleet:
    """Everything of an inventory that a release needs. `directory` is where lock and state lie on the keeper."""

    inventory_path: Path
    environment: str
    members: tuple[Member, ...]
    app_hosts: tuple[AppHost, ...]
    keeper: Transport
    state_dir: Path
    url: str
    directory: str = DIRECTORY

    @classmethod
    def of(cls, inventory: Inventory) -> "Fleet":
        """The fleet of an inventory. The first ops machine keeps lock and state, else the first machine."""
        config = inventory.ssh_config()
        members = tuple(Member(Ssh(machine.name, config), machine.roles) for machine in inventory.machines)
        by_name = {member.name: member.transport for member in members}
        keeper = next((member for member in members if "ops" in member.roles), members[0])
        return cls(
            inventory_path=inventory.path,
            environment=inventory.environment,
            members=members,
            app_hosts=tuple(AppHost(by_name[machine.name]) for machine in inventory.role("app")),
            keeper=keeper.transport,
            state_dir=inventory.state_dir,
            url=inventory.public_url,
        )

    @property
    def state(self) -> StateKeeper:
        """The record of releases that the fleet itself holds."""
        return StateKeeper(self.keeper, self.directory)

    def lock(self, doing: str, say: Callable[[str], None]) -> FleetLock:
        """The fleet's lock, not yet taken."""
        return FleetLock(self.keeper, self.directory, doing, say)
