"""What an inventory may say, and the one typed view of it that deploys, checks and load share.

An inventory is a stock pyinfra inventory file; `load_inventory` reads it without pyinfra or network.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

REPOSITORY = Path(__file__).resolve().parents[1]
ROLES = ("lb", "app", "db", "cache", "ops", "customer")
REQUIRED_ROLES = ("lb", "app", "db", "cache")
SYSTEM_CA_FILE = Path("/etc/ssl/certs/ca-certificates.crt")

Environment = Literal["sandbox", "staging", "production"]
DatabaseFlavour = Literal["mariadb", "mysql"]


class InventoryError(Exception):
    """An inventory that cannot be used. The message reads "place: what is wrong; cure"."""

    def __init__(self, place: str, problem: str, cure: str) -> None:
        super().__init__(f"{place}: {problem}; {cure}")
        self.place, self.problem, self.cure = place, problem, cure


def _domain(value: str) -> str:
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    if len(value) > 253 or not re.fullmatch(rf"{label}(\.{label})+", value):
        raise ValueError("must be a full domain name in lower case, such as search.example.com")
    return value


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError as error:
        raise ValueError(f"must be a network such as 192.0.2.0/24 ({error})") from error


def _expanded(value: Path) -> Path:
    return value.expanduser()


Domain = Annotated[str, AfterValidator(_domain)]
Network = Annotated[str, AfterValidator(_network)]


LocalPath = Annotated[Path, AfterValidator(_expanded)]


class Strict(BaseModel):
    """A model for which an unknown key is an error and which never changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Thresholds(Strict):
    """The declared numbers behind words such as "adequate" or "acceptable", each with its reason."""

    cpus_minimum: int = Field(default=2, ge=1, description="cores; the checklist's own minimum")
    memory_minimum_mb: int = Field(default=4096, ge=256, description="MiB; the checklist's own minimum")
    disk_free_minimum_mb: int = Field(
        default=2048,
        ge=64,
        description="MiB free on / and /var: a release, its predecessor and a week of logs fit in 1.5 GiB",
    )
    disk_used_maximum_percent: int = Field(
        default=85, ge=1, le=99, description="%; above it databases and package managers start to fail"
    )
    disk_sync_write_maximum_ms: float = Field(
        default=8.0,
        gt=0,
        description="ms for 4 KiB to be safe on disk; a spinning disk turns once in 8.3 ms, so this is solid state",
    )
    open_files_minimum: int = Field(
        default=1024, ge=256, description="files a server may hold open; the kernel's own default"
    )
    network_round_trip_maximum_ms: float = Field(
        default=5.0,
        gt=0,
        description="ms between machines of the fleet: one search makes about four trips in a row",
    )
    certificate_days_left_minimum: int = Field(
        default=21, ge=1, description="days; deploys renew at 30, so less means that renewal is broken"
    )
    hsts_minimum_s: int = Field(
        default=31_536_000, ge=1, description="s that browsers stay with HTTPS: a year, as preload lists ask"
    )
    clock_offset_maximum_s: float = Field(
        default=1.0, gt=0, description="s; tokens and GTIDs compare times between machines"
    )
    edge_p95_maximum_ms: float = Field(
        default=300.0, gt=0, description="ms; a search feels immediate below 0.3 s"
    )
    search_p95_maximum_ms: float = Field(
        default=500.0, gt=0, description="ms; the service's published objective for search"
    )
    error_ratio_maximum: float = Field(
        default=0.001, ge=0, lt=1, description="share of requests; 99.9 % monthly objective"
    )
    slow_query_seconds: float = Field(
        default=0.5, gt=0, description="s; the search objective: slower statements are logged"
    )
    cache_hit_ratio_minimum: float = Field(
        default=0.5, ge=0, le=1, description="share; below it the cache does not pay"
    )
    unit_exposure_maximum: float = Field(
        default=2.0, gt=0, le=10, description="systemd-analyze security score of our units"
    )
    backup_age_maximum_hours: float = Field(
        default=26.0, gt=0, description="h; daily backups plus two hours of slack"
    )


class Settings(Strict):
    """What is declared for a whole inventory, in group_data/all.py and group_data/<inventory>.py."""

    environment: Environment
    domain: Domain = Field(description="the public name of the service")
    operator_account: str = Field(
        default="",
        pattern=r"^$|^[^@\s]+@[^@\s]+$",
        description="e-mail address of the service's administrator that deploys make; empty: operator@ the domain",
    )
    database_flavour: DatabaseFlavour = "mariadb"
    control_addresses: tuple[Network, ...] = Field(
        min_length=1,
        description="networks of operators and load generators: SSH everywhere, app hosts directly",
    )
    state_dir: LocalPath | None = Field(
        default=None, description="on the controller; None: .launchgate/<inventory>/ in the repository"
    )
    waivers: LocalPath | None = Field(default=None, description="None: inventories/waivers/<inventory>.toml")

    ssh_user: str = Field(default="admin", pattern=r"^[a-z_][a-z0-9_-]*$")
    ssh_port: int = Field(default=22, ge=1, le=65535)
    ssh_key: LocalPath | None = None
    ssh_known_hosts_file: LocalPath | None = None
    ssh_config_file: LocalPath | None = Field(
        default=None, description="an OpenSSH config for every machine, made by someone else"
    )
    ssh_strict_host_key_checking: Literal["yes", "accept-new"] = "yes"

    secrets_source: Literal["generated", "directory", "environment"] = Field(
        description="generated once below state_dir; files in secrets_dir; variables LAUNCHGATE_SECRET_<NAME>"
    )
    secrets_dir: LocalPath | None = Field(
        default=None, description="one file a secret, mode 0600; for secrets_source directory"
    )
    edge_certificate: LocalPath | None = Field(
        default=None, description="PEM chain for the domain; None: from the internal CA"
    )
    edge_certificate_key: LocalPath | None = None
    edge_ca_file: LocalPath | None = Field(
        default=None, description="what clients verify the edge with; None: the system's CAs"
    )

    workers: int = Field(default=2, ge=1, le=64, description="uvicorn workers a slot: one a core")
    database_pool_size: int = Field(
        default=5, ge=1, le=100, description="connections a worker keeps; bounds sum on the database"
    )
    database_buffer_pool_mb: int = Field(
        default=1024, ge=32, description="MiB; about half the memory of a database machine"
    )
    database_max_connections: int = Field(default=200, ge=20, le=10_000)
    redis_maxmemory_mb: int = Field(default=512, ge=16)
    redis_maxmemory_policy: Literal["allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-lfu"] = (
        "volatile-lfu"
    )
    redis_persistence: Literal["everysec", "always", "none"] = Field(
        default="everysec",
        description="limits and quotas are counted in Redis: a restart must not forget more than a second",
    )
    customer_allowed_networks: tuple[Network, ...] = Field(
        default=(),
        description="private networks in which users' databases may live; others private are refused",
    )
    cors_origins: tuple[str, ...] = ()
    ai_base_url: str | None = Field(
        default=None,
        pattern=r"^https://[^/?#@\s]+(/[^?#@\s]*)?$",
        description="OpenAI's API or one like it, which needs the secret ai_api_key; None: no AI",
    )
    ai_ca_file: LocalPath | None = Field(
        default=None, description="PEM of the CA that signed its certificate; None: the system's CAs"
    )
    ai_model: str | None = Field(default=None, min_length=1, description="None: the service's own default")
    ai_embedding_model: str | None = Field(default=None, min_length=1)
    ai_embedding_dimensions: int | None = Field(
        default=None, ge=1, le=8192, description="numbers in a vector of ai_embedding_model"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    apt_fast_unsafe_io: bool = Field(
        default=False, description="dpkg without fsync: only where machines are thrown away"
    )
    corpus: bool = Field(default=False, description="load the package corpus onto the customer machines")
    release_keep: int = Field(
        default=3, ge=2, le=20, description="releases that stay installed on an app host"
    )
    advisory_mirror: LocalPath | None = Field(
        default=None,
        description="directory of OSV JSON files for the security audit where no advisory service is reachable",
    )
    advisory_max_age_days: float = Field(
        default=7.0, gt=0, description="days; an older mirror cannot vouch for anything"
    )
    thresholds: Thresholds = Thresholds()

    @model_validator(mode="after")
    def _belongs_together(self) -> Settings:
        if self.secrets_source == "directory" and self.secrets_dir is None:
            raise ValueError("secrets_dir is missing: secrets_source is 'directory'")
        if self.secrets_source == "generated" and self.environment != "sandbox":
            raise ValueError(
                "secrets_source 'generated' is for the sandbox only: name a directory or the environment"
            )
        if (self.edge_certificate is None) != (self.edge_certificate_key is None):
            raise ValueError("edge_certificate and edge_certificate_key go together: give both or none")
        if self.edge_certificate is None and self.environment == "production":
            raise ValueError("edge_certificate is missing: browsers do not trust the internal CA")
        if self.ai_embedding_model is not None and self.ai_embedding_dimensions is None:
            raise ValueError("ai_embedding_dimensions is missing: ai_embedding_model is named")
        if self.apt_fast_unsafe_io and self.environment != "sandbox":
            raise ValueError("apt_fast_unsafe_io is for the sandbox only: a crash would lose installed files")
        return self


class HostData(Strict):
    """What one machine may say about itself in the inventory; the names are pyinfra's own."""

    ssh_hostname: str = Field(
        description="its address: IPv4 or IPv6, for the firewall's rules are made of addresses"
    )
    ssh_port: int | None = Field(default=None, ge=1, le=65535)
    ssh_user: str | None = None
    ssh_key: LocalPath | None = None
    ssh_known_hosts_file: LocalPath | None = None

    @model_validator(mode="after")
    def _address_is_an_address(self) -> HostData:
        try:
            ipaddress.ip_address(self.ssh_hostname)
        except ValueError as error:
            raise ValueError(f"ssh_hostname must be an IP address, not {self.ssh_hostname!r}") from error
        return self


@dataclass(frozen=True)
class Machine:
    """One machine of the fleet and how it is reached."""

    name: str
    address: str
    ssh_port: int
    ssh_user: str
    ssh_key: Path | None
    known_hosts: Path | None
    ssh_config: Path | None
    roles: tuple[str, ...]


@dataclass(frozen=True)
class Inventory:
    """A validated inventory: machines, roles and settings."""

    name: str
    path: Path
    machines: tuple[Machine, ...]
    settings: Settings

    @property
    def environment(self) -> Environment:
        """sandbox, staging or production."""
        return self.settings.environment

    def role(self, role: str) -> tuple[Machine, ...]:
        """The machines of a role, in the inventory's order; the first of `db` is the primary.

        Raises InventoryError for a role that does not exist.
        """
        if role not in ROLES:
            raise InventoryError(str(self.path), f"unknown role {role!r}", f"use one of {', '.join(ROLES)}")
        return tuple(machine for machine in self.machines if role in machine.roles)

    def machine(self, name: str) -> Machine:
        """The machine of that name. Raises InventoryError when there is none."""
        for machine in self.machines:
            if machine.name == name:
                return machine
        known = ", ".join(machine.name for machine in self.machines)
        raise InventoryError(str(self.path), f"unknown machine {name!r}", f"use one of {known}")

    @property
    def state_dir(self) -> Path:
        """On the controller: secrets/, pki/, releases/, evidence/."""
        return self.settings.state_dir or REPOSITORY / ".launchgate" / self.name

    @property
    def operator_email(self) -> str:
        """The service's administrator that deploys make; its password is the secret `operator_password`."""
        return self.settings.operator_account or f"operator@{self.settings.domain}"

    @property
    def waivers_file(self) -> Path:
        """The TOML file of waivers; it need not exist."""
        return self.settings.waivers or REPOSITORY / "inventories" / "waivers" / f"{self.name}.toml"

    @property
    def public_url(self) -> str:
        """The service as its users see it; connect to `edge_address`, verify with `ca_file`."""
        return f"https://{self.settings.domain}"

    @property
    def edge_address(self) -> str:
        """The first load balancer's address."""
        return self.role("lb")[0].address

    @property
    def internal_ca_file(self) -> Path:
        """The fleet's own CA, which signs every certificate between machines; made by the first deploy."""
        return self.state_dir / "pki" / "ca.crt"

    @property
    def ca_file(self) -> Path:
        """What a client verifies the edge with: the internal CA, or that of the edge's own certificate."""
        if self.settings.edge_certificate is None:
            return self.internal_ca_file
        return self.settings.edge_ca_file or SYSTEM_CA_FILE

    @property
    def control_addresses(self) -> tuple[str, ...]:
        """Networks (CIDR) that operators and load generators come from."""
        return self.settings.control_addresses

    def ssh_config(self) -> Path:
        """An OpenSSH config that reaches every machine by its name, with shared connections."""
        if self.settings.ssh_config_file is not None:
            return self.settings.ssh_config_file
        from inventories.sshconfig import write_ssh_config

        return write_ssh_config(self)


def load_inventory(path: Path, overrides: Mapping[str, Any] | None = None) -> Inventory:
    """Reads and validates a pyinfra inventory file together with its group_data.

    `overrides` are settings that win over both, as `pyinfra --data` does. Raises InventoryError.
    """
    from inventories.loading import read_inventory

    return read_inventory(path, overrides or {})
