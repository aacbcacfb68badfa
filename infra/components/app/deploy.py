"""The service on its machines: user, folders, settings, units and tools; and a release's way into a slot."""

from __future__ import annotations

from pathlib import Path

from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.context import host, inventory

from infra.components.app import operations
from infra.components.app.artifact import DIST, Artifact, find_artifact
from infra.components.app.facts import RELEASE_TOOL, SLOT_TOOL, InstalledReleases, SlotStatus
from infra.components.app.settings import AI_CA, environment_file, secret_names
from infra.components.naming import component
from infra.components.rendering import program, render
from infra.components.target import Target, run_data
from infra.operations import files, states, units

UNIT = "/etc/systemd/system/search-api@.service"
MIGRATE_UNIT = "/etc/systemd/system/search-api-migrate@.service"
ACTIVE_UNIT = "/etc/systemd/system/search-api-active.service"
PURGE_UNIT = "/etc/systemd/system/search-api-purge.service"
PURGE_TIMER = "/etc/systemd/system/search-api-purge.timer"
OPERATOR_PASSWORD = "/etc/search-api/operator_password"  # noqa: S105 (a path)
SYSUSERS = "/etc/sysusers.d/search-api.conf"


@component("Service")
def app(here: Target) -> None:
    """Everything of the service but a release."""
    users = "u search-api - 'Search API' /srv/search-api\nm www-data search-api\n"
    files.present(name="The service's user, written down", wanted=[files.File(SYSUSERS, users)])
    states.reached(
        name="The service's user",
        key="search-api-user",
        wanted=users,
        observe="id search-api; id www-data",
        # NGINX has to be told: its workers bear the groups that they started with.
        apply=f"systemd-sysusers {SYSUSERS}; rm -f {units.STAMPS}/nginx.service",
    )
    files.present(name="Settings, secrets, units and tools", wanted=wanted_files(here))
    units.running(
        name="Find the active slot after a boot", unit="search-api-active.service", restart_on=[UNIT]
    )
    units.running(
        name="Sum up and delete old records every night",
        unit="search-api-purge.timer",
        restart_on=[PURGE_TIMER],
    )


def wanted_files(here: Target) -> list[files.Wanted]:
    """The service's files outside its releases."""
    sandbox = render("app", "sandbox.j2")
    names = secret_names(here)
    unit = render(
        "app", "search-api@.service.j2", secrets=names, workers=here.settings.workers, sandbox=sandbox
    )
    migrate = render(
        "app",
        "search-api-migrate@.service.j2",
        secrets=names,
        operator_email=here.inventory.operator_email,
        sandbox=sandbox,
    )
    purge = render("app", "search-api-purge.service.j2", secrets=names, sandbox=sandbox)
    folder = "/etc/search-api/credentials"
    return [
        *(
            files.Folder(f"/srv/search-api{part}")
            for part in ("", "/releases", "/slots", "/wheels", "/incoming")
        ),
        files.Folder("/etc/search-api"),
        files.Folder(folder, mode="700"),
        files.File("/etc/search-api/search-api.env", environment_file(here)),
        *_ai_ca(here),
        *(files.File(f"{folder}/{name}", here.secrets[name] + "\n", mode="400") for name in names),
        files.File(OPERATOR_PASSWORD, here.secrets["operator_password"] + "\n", mode="400"),
        files.File(UNIT, unit),
        files.File(MIGRATE_UNIT, migrate),
        files.File(ACTIVE_UNIT, render("app", "search-api-active.service.j2")),
        files.File(PURGE_UNIT, purge),
        files.File(PURGE_TIMER, render("app", "search-api-purge.timer.j2")),
        files.File(SLOT_TOOL, program("app", "search-api-slot.py"), mode="755"),
        files.File(RELEASE_TOOL, program("app", "search-api-release.py"), mode="755"),
    ]


def _ai_ca(here: Target) -> list[files.Wanted]:
    named = here.settings.ai_ca_file
    if named is None:
        return []
    try:
        return [files.File(AI_CA, named.read_text())]
    except (OSError, UnicodeDecodeError) as error:
        raise PyinfraError(
            f"ai_ca_file: {named} cannot be read ({type(error).__name__}); put the CA's certificate (PEM) there"
        ) from None


def wanted_release(here: Target) -> tuple[str, Artifact | None]:
    """The release's name, and its artifact where this controller has it.

    What `--data release=` says; else what the fleet runs; else what was built last. Raises PyinfraError when that is
    nothing, or when app machines run different releases.
    """
    said = run_data("release")
    if said is not None and not isinstance(said, str):
        raise PyinfraError(f"--data release={said}: not a release; give a version such as 1.0.0")
    if said is None:
        said = _running_release(here) or None
    artifact = find_artifact(said, Path(str(run_data("dist") or DIST)))
    if artifact is not None:
        return artifact.release, artifact
    installed = {name for machine in _app_hosts(here) for name in machine.get_fact(InstalledReleases)}
    for name in sorted(installed):
        if said is not None and said in (name, name.rpartition("-")[0]):
            return name, None
    if said is None:
        raise PyinfraError(
            "release: nothing runs on the fleet and nothing is built in dist/; run `launchgate build` first"
        )
    raise PyinfraError(
        f"release {said}: neither built in dist/ nor installed; run `launchgate build --version {said}`"
    )


def _running_release(here: Target) -> str:
    running = {machine.name: machine.get_fact(SlotStatus).release for machine in _app_hosts(here)}
    found = {name: release for name, release in running.items() if release}
    if len(set(found.values())) > 1:
        listed = ", ".join(f"{name} runs {release}" for name, release in found.items())
        raise PyinfraError(f"release: {listed}; say which is wanted with --data release=VERSION")
    return next(iter(found.values()), "")


def _app_hosts(here: Target) -> list[Host]:
    hosts = {found.name: found for found in inventory.iter_activated_hosts()}
    return [hosts[machine.name] for machine in here.inventory.role("app") if machine.name in hosts]


@component("Release installed")
def installed(here: Target, release: str, artifact: Artifact | None) -> None:
    """Puts the release beside those that are there; nothing runs it yet."""
    operations.installed(
        name="Install the release", release=release, artifact=artifact, keep=here.settings.release_keep
    )


@component("Release started")
def started(release: str) -> None:
    """Runs an installed release in the inactive slot."""
    operations.started(name="Start the release in the inactive slot", release=release)


@component("Database migrated")
def migrated(here: Target, release: str) -> None:
    """Expands the schema for an installed release, from the first app machine that this run deploys to."""
    if _app_hosts(here)[0].name == here.machine.name:
        operations.migrated(name="Expand the schema", release=release)


@component("Release switched")
def switched(release: str) -> None:
    """Moves new connections to the release."""
    operations.switched(name="Switch to the release", release=release)


@component("Release rolled back")
def returned(here: Target) -> None:
    """Goes back to the release that `--data release=` names, or to the one in the other slot; nothing is uploaded."""
    if run_data("release") is not None:
        release = wanted_release(here)[0]
    else:
        slots = host.get_fact(SlotStatus)
        release = str(slots.slots.get(slots.inactive, {}).get("release", "")) if slots.active else ""
        if not release:
            raise PyinfraError(
                f"{here.machine.name}: the other slot holds no release; say --data release=VERSION"
            )
    operations.started(name="Start the earlier release", release=release)
    operations.switched(name="Switch back", release=release)
