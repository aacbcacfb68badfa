"""The base of every machine: its packages in one transaction, names of its neighbours, kernel and journal settings."""

from __future__ import annotations

from infra.components.naming import component
from infra.components.rendering import render
from infra.components.target import Target
from infra.operations import files, packages, units

BASE = ["nftables", "prometheus-node-exporter"]
BY_ROLE = {
    "lb": ["nginx"],
    "app": ["nginx", "python3"],
    "db": ["mariadb-server"],
    "cache": ["redis-server"],
    "ops": ["prometheus"],
    "customer": ["mariadb-server", "python3"],
}
# The corpus needs the package lists' English descriptions, which a minimal image does without.
TRANSLATIONS = "ls /var/lib/apt/lists/*_Translation-en* >/dev/null 2>&1"


@component("Host")
def host_base(here: Target) -> None:
    """Packages and base settings."""
    wants_corpus = here.settings.corpus and here.has("customer")
    files.present(
        name="Package manager's settings",
        wanted=[
            files.File(
                "/etc/apt/apt.conf.d/90launchgate", render("host", "apt.conf.j2", translations=wants_corpus)
            ),
            _unsafe_io(here),
        ],
    )
    packages.installed(
        name="Install packages",
        names=_packages(here),
        refresh=TRANSLATIONS if wants_corpus else None,
    )
    if here.flavour == "mysql" and here.has("db", "customer"):
        packages.installed(name="Install MySQL", names=["mysql-server"], suite="unstable")
    files.present(name="Settings of the base system", wanted=_base_files(here))
    units.running(
        name="Kernel settings in force",
        unit="systemd-sysctl.service",
        restart_on=["/etc/sysctl.d/60-launchgate.conf"],
    )
    units.running(
        name="Journal",
        unit="systemd-journald.service",
        restart_on=["/etc/systemd/journald.conf.d/launchgate.conf"],
    )


def _packages(here: Target) -> list[str]:
    wanted = {package for role in here.machine.roles for package in BY_ROLE[role]}
    if here.flavour == "mysql":
        wanted.discard("mariadb-server")  # MySQL comes from another suite, by its own operation
    return sorted(wanted.union(BASE))


def _unsafe_io(here: Target) -> files.Wanted:
    path = "/etc/dpkg/dpkg.cfg.d/launchgate"
    return files.File(path, "force-unsafe-io\n") if here.settings.apt_fast_unsafe_io else files.Absent(path)


def _base_files(here: Target) -> list[files.Wanted]:
    return [
        files.File("/etc/hosts", render("host", "hosts.j2", machine=here.machine, inventory=here.inventory)),
        files.File("/etc/sysctl.d/60-launchgate.conf", render("host", "sysctl.conf.j2")),
        files.File("/etc/systemd/journald.conf.d/launchgate.conf", render("host", "journald.conf.j2")),
    ]
