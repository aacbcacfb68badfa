"""The service's settings: documented, complete, well kept, and in force in every running slot."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys

import pytest

from checks.gate import CouldNotLook, Evidence, MachineUnderCheck, item
from checks.gate.fixtures import RUN
from checks.gate.fleet import Fleet
from checks.probes import slots
from inventories.schema import REPOSITORY, Inventory

PREFIX = "SEARCH_API_"
ENVIRONMENT_FILE = "/etc/search-api/search-api.env"
CREDENTIALS = "/etc/search-api/credentials"
DOCUMENTED_IN = REPOSITORY / ".env.example"
# What `search-api env-example` prints, without loading the rest of the service.
RENDER = "from search_api.env_example import render_env_example; print(render_env_example(), end='')"
RENDER_TIMEOUT_S = 30
# The unit's own, one for each slot.
OF_THE_SLOT = {f"{PREFIX}METRICS_DIR", f"{PREFIX}DRAIN_FILE"}
SECRETS = {
    "database_password",
    "migrate_database_password",
    "redis_password",
    "jwt_secret",
    "api_key_pepper",
    "encryption_keys",
}


@item("PRE-ENV-1", on=None)
def check_the_example_is_what_the_settings_class_says(evidence: Evidence) -> None:
    """`.env.example` and the settings class name the same variables, each with words about it."""
    if not DOCUMENTED_IN.is_file():
        raise AssertionError(
            f"{DOCUMENTED_IN.relative_to(REPOSITORY)}: is missing; run `search-api env-example`"
        )
    text = DOCUMENTED_IN.read_text()
    evidence.expect(
        looked_at=f"{DOCUMENTED_IN.name} against `search-api env-example`",
        observed=sorted(set(text.splitlines()) ^ set(_rendered().splitlines())),
        expected=[],
    )
    evidence.expect(looked_at="variables without a description", observed=undescribed(text), expected=[])


@item("PRE-ENV-1", on="app")
def check_what_is_configured_is_documented(machine: MachineUnderCheck, evidence: Evidence) -> None:
    """Every variable and every credential on the machine stands in `.env.example`."""
    documented = set(variables(_example()))
    given = {*_environment_file(machine), *(PREFIX + name.upper() for name in _kept_credentials(machine))}
    evidence.that(
        bool(given), looked_at=ENVIRONMENT_FILE, observed=f"{len(given)} settings", expected="settings"
    )
    evidence.expect(
        looked_at=f"{ENVIRONMENT_FILE} and {CREDENTIALS} against {DOCUMENTED_IN.name}",
        observed=sorted(given - documented),
        expected=[],
    )


@item("PRE-ENV-2", on="app")
def check_secrets_are_kept_from_everybody(machine: MachineUnderCheck, evidence: Evidence) -> None:
    """All secrets are there, in files that only root reads, and none stands in the environment file."""
    kept = _kept_credentials(machine)
    evidence.expect(looked_at=f"secrets in {CREDENTIALS}", observed=sorted(SECRETS - set(kept)), expected=[])
    loose = [f"{name} {how}" for name, how in kept.items() if not re.fullmatch(r"root root [46]00", how)]
    evidence.expect(looked_at=f"owner and mode of each file in {CREDENTIALS}", observed=loose, expected=[])
    folder = machine.must(f"stat -c '%U %G %a' {CREDENTIALS}", sudo=True).stdout.strip()
    evidence.expect(looked_at=f"owner and mode of {CREDENTIALS}", observed=folder, expected="root root 700")
    named = [name for name in _environment_file(machine) if name.removeprefix(PREFIX).lower() in SECRETS]
    evidence.expect(looked_at=f"secrets in {ENVIRONMENT_FILE}", observed=named, expected=[])


@item("PRE-ENV-2", on="app")
def check_the_environment_file_is_what_the_inventory_declares(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    """What the inventory declares stands in the environment file, and root alone can change it."""
    given, wanted = _environment_file(machine), declared(inventory)
    evidence.expect(
        looked_at=ENVIRONMENT_FILE, observed={name: given.get(name) for name in wanted}, expected=wanted
    )
    how = machine.must(f"stat -c '%U %a' {ENVIRONMENT_FILE}", sudo=True).stdout.strip()
    evidence.that(
        bool(re.fullmatch(r"root 6[04][04]", how)),
        looked_at=f"owner and mode of {ENVIRONMENT_FILE}",
        observed=how,
        expected="root, writable for nobody else",
    )


@item("PRE-ENV-2", on="app")
def check_every_running_slot_has_these_settings(
    request: pytest.FixtureRequest, machine: MachineUnderCheck, evidence: Evidence, fleet: Fleet
) -> None:
    """Each process runs with the file's values and root's secrets; its own release accepts them."""
    slots.look_ahead(fleet)
    given, before = _environment_file(machine), request.config.stash[RUN].options.phase == "pre"
    for one in slots.in_force(machine):
        if one.left_behind or (before and one.seen["stale"]):
            evidence.note(looked_at=f"slot {one.slot}", observed="runs with the settings of its own time")
            continue
        has, where = one.seen["environment"], f"slot {one.slot}, process {one.seen['pid']}"
        names = {*given, *has} - OF_THE_SLOT
        different = {name: has.get(name) for name in names if has.get(name) != given.get(name)}
        evidence.expect(looked_at=f"{where}: environment unlike the file", observed=different, expected={})
        evidence.expect(
            looked_at=f"{where}: secrets in the environment",
            observed=[name for name, value in has.items() if value == "[secret]"],
            expected=[],
        )
        credentials = {entry["name"] for entry in one.seen["credentials"] if entry["size"] > 0}
        evidence.expect(
            looked_at=f"{where}: missing credentials", observed=sorted(SECRETS - credentials), expected=[]
        )
        evidence.expect(
            looked_at=f"{where}: environment", observed=one.values["environment"], expected=_stage(given)
        )
    if not slots.in_force(machine):
        evidence.that(
            not any(slot.active for slot in slots.slots(machine)),
            looked_at="search-api-slot status",
            observed="no slot runs",
            expected="running, once a release is active",
        )


@item("PRE-ENV-3", on="app")
def check_the_service_reaches_the_primary(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory, fleet: Fleet
) -> None:
    """The file names the inventory's primary, which answers; each running slot is on it, over TLS, as itself."""
    primary = inventory.role("db")[0]
    given = _environment_file(machine)
    evidence.expect(
        looked_at=f"{ENVIRONMENT_FILE}: {PREFIX}DATABASE_HOST", observed=given.get(f"{PREFIX}DATABASE_HOST"),
        expected=primary.name,
    )  # fmt: skip
    _expect_reached(
        machine, evidence, primary.name, int(given.get(f"{PREFIX}DATABASE_PORT", "3306")), primary.address
    )
    slots.look_ahead(fleet)
    for one in slots.in_force(machine):
        met = one.part("database")
        evidence.expect(
            looked_at=f"slot {one.slot}: who answers its own engine",
            observed={name: met[name] for name in ("host", "port", "schema", "read_only")}
            | {"user": str(met["user"]).partition("@")[0], "encrypted": bool(met["cipher"])},
            expected={"host": primary.name, "port": 3306, "schema": "search_api", "read_only": 0}
            | {"user": "search_app", "encrypted": True},
        )
        evidence.that(
            bool(one.values["database_tls_ca"]),
            looked_at=f"slot {one.slot}: database_tls_ca",
            observed=one.values["database_tls_ca"],
            expected="a CA that the server is verified with",
        )


@item("PRE-ENV-4", on="app")
def check_the_service_reaches_the_cache(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory, fleet: Fleet
) -> None:
    """The file names the inventory's cache, which answers; each running slot is let in, over TLS, as itself."""
    cache = inventory.role("cache")[0]
    given = _environment_file(machine)
    evidence.expect(
        looked_at=f"{ENVIRONMENT_FILE}: {PREFIX}REDIS_HOST and _USER",
        observed=(given.get(f"{PREFIX}REDIS_HOST"), given.get(f"{PREFIX}REDIS_USER")),
        expected=(cache.name, "search_app"),
    )
    _expect_reached(
        machine, evidence, cache.name, int(given.get(f"{PREFIX}REDIS_PORT", "6379")), cache.address
    )
    slots.look_ahead(fleet)
    for one in slots.in_force(machine):
        met = one.part("redis")
        evidence.expect(
            looked_at=f"slot {one.slot}: PING with its own settings",
            observed=(met["ping"], met["service_says_alive"], met["peer"]),
            expected=(True, True, cache.address),
        )
        evidence.that(
            str(met["tls"]).startswith("TLSv1."), looked_at=f"slot {one.slot}: the connection", observed=met["tls"],
            expected="TLS",
        )  # fmt: skip


def variables(text: str) -> dict[str, str]:
    """NAME=value lines of an environment file, without the quotes around a value."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            quoted = len(value) >= 2 and value[0] == value[-1] == '"'
            found[name] = value[1:-1] if quoted else value
    return found


def undescribed(text: str) -> list[str]:
    """Variables of an example file that no comment stands above."""
    lines = ["", *text.splitlines()]
    return [
        line.partition("=")[0]
        for before, line in itertools.pairwise(lines)
        if variables(line) and not re.match(r"# \S.{3,}", before)
    ]


def declared(inventory: Inventory) -> dict[str, str]:
    """What the inventory's settings mean for the service, by variable."""
    settings = inventory.settings
    values = {
        "ENVIRONMENT": "production" if settings.environment == "sandbox" else settings.environment,
        "WORKERS": str(settings.workers),
        "POOL_SIZE": str(settings.database_pool_size),
        "LOG_LEVEL": settings.log_level,
        "CORS_ORIGINS": ",".join(settings.cors_origins),
        "CUSTOMER_ALLOWED_NETWORKS": ",".join(settings.customer_allowed_networks),
        "TRUSTED_PROXIES": ",".join(f"{one.address}/32" for one in inventory.role("lb")),
    }
    return {PREFIX + name: value for name, value in values.items()}


def _example() -> str:
    if not DOCUMENTED_IN.is_file():
        raise AssertionError(f"{DOCUMENTED_IN.name}: is missing; write it with `search-api env-example`")
    return DOCUMENTED_IN.read_text()


def _rendered() -> str:
    """What the service of this source prints, as a process of its own: checks import nothing of it."""
    words = [sys.executable, "-c", RENDER]
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        timeout=RENDER_TIMEOUT_S,
        check=False,
        cwd=REPOSITORY / "service",
    )
    if done.returncode:
        raise CouldNotLook(
            f"`search-api env-example`: status {done.returncode}: {done.stderr.strip()[-300:]}"
        )
    return done.stdout


def _stage(given: dict[str, str]) -> str:
    return given.get(f"{PREFIX}ENVIRONMENT", "")


def _environment_file(machine: MachineUnderCheck) -> dict[str, str]:
    answer = machine.run(f"cat {ENVIRONMENT_FILE}", sudo=True)
    if not answer.ok:
        raise AssertionError(f"{machine.name}: {ENVIRONMENT_FILE} cannot be read: {answer.stderr.strip()}")
    return variables(answer.stdout)


def _kept_credentials(machine: MachineUnderCheck) -> dict[str, str]:
    """Owner, group and mode of each file, by name."""
    answer = machine.run(f"find {CREDENTIALS} -type f -printf '%P\\t%u %g %m\\n'", sudo=True)
    return dict(line.split("\t", 1) for line in answer.lines())


def _expect_reached(
    machine: MachineUnderCheck, evidence: Evidence, name: str, port: int, address: str
) -> None:
    """A TCP look from the app machine, by the name that the service uses."""
    resolved = machine.run(f"getent ahostsv4 {name}").stdout.split(" ", 1)[0]
    evidence.expect(looked_at=f"{name} as {machine.name} resolves it", observed=resolved, expected=address)
    opened = machine.run(f"timeout 3 bash -c 'exec 3<>/dev/tcp/{name}/{port}'")
    evidence.that(
        opened.ok,
        looked_at=f"TCP from {machine.name} to {name}:{port}",
        observed="open" if opened.ok else opened.stderr.strip()[-120:] or "silent",
        expected="open",
    )
