"""Breaks of the service's settings: in the file, around it, and in the process alone."""

from __future__ import annotations

from collections.abc import Iterator

from checks.breaks import files
from checks.breaks.slot import overridden
from checks.configuration.check_environment import CREDENTIALS, ENVIRONMENT_FILE
from checks.gate import MachineUnderCheck, compliant_variant, sabotage


@sabotage("PRE-ENV-1", on="app", also_red=("PRE-ENV-2",), reason="POOLSIZE")
def a_variable_is_configured_that_no_document_names(machine: MachineUnderCheck) -> Iterator[None]:
    """`POOLSIZE` instead of `POOL_SIZE`: whoever wrote it believes that the pool is larger now."""
    line = 'SEARCH_API_POOLSIZE="50"'
    with files.edited(machine, ENVIRONMENT_FILE, f"echo '{line}' >>$f", shows=line):
        yield


@sabotage("PRE-ENV-1", on="app", near_miss=True, reason="OPENAI")
def a_secret_is_kept_properly_but_documented_nowhere(machine: MachineUnderCheck) -> Iterator[None]:
    """A credential file with the right owner and mode, for a setting that .env.example does not know."""
    with files.added(machine, f"{CREDENTIALS}/openai_api_keys", "no secret\n", mode="400"):
        yield


@compliant_variant("PRE-ENV-1", on="app")
def the_environment_file_is_commented_and_in_another_order(machine: MachineUnderCheck) -> Iterator[None]:
    """Order and comments of the file say nothing."""
    with files.edited(
        machine, ENVIRONMENT_FILE, "sort -r -o $f $f; echo '# reviewed' >>$f", shows="# reviewed"
    ):
        yield


@sabotage("PRE-ENV-2", on="app", reason="jwt_secret")
def a_secret_is_readable_by_everybody(machine: MachineUnderCheck) -> Iterator[None]:
    """The credential that signs login tokens gets mode 644."""
    with files.with_mode(machine, f"{CREDENTIALS}/jwt_secret", "644"):
        yield


@sabotage("PRE-ENV-2", on="app2", near_miss=True, reason="LOG_LEVEL")
def the_file_is_right_but_the_process_runs_with_another_value(machine: MachineUnderCheck) -> Iterator[None]:
    """A drop-in for one slot overrides the file that everybody looks at."""
    with overridden(machine, log_level="debug"):
        yield


@sabotage("PRE-ENV-2", on="app", near_miss=True, reason="TRUSTED_PROXIES")
def the_file_was_changed_after_the_start(machine: MachineUnderCheck) -> Iterator[None]:
    """A wider trusted network in the file: harmless today, in force after the next restart."""
    change = "sed -i 's|^SEARCH_API_TRUSTED_PROXIES=.*|SEARCH_API_TRUSTED_PROXIES=\"0.0.0.0/0\"|' $f"
    with files.edited(machine, ENVIRONMENT_FILE, change, shows='TRUSTED_PROXIES="0.0.0.0/0"'):
        yield


@compliant_variant("PRE-ENV-2", on="app")
def secrets_are_writable_for_root(machine: MachineUnderCheck) -> Iterator[None]:
    """Mode 600 keeps a secret from everybody else just as 400 does."""
    with files.with_mode(machine, f"{CREDENTIALS}/jwt_secret", "600"):
        yield


@sabotage("PRE-ENV-3", on="app", also_red=("PRE-ENV-2",), reason="DATABASE_HOST")
def the_file_names_the_replica(machine: MachineUnderCheck) -> Iterator[None]:
    """The next restart would write into a read-only database."""
    change = "sed -i 's|^SEARCH_API_DATABASE_HOST=.*|SEARCH_API_DATABASE_HOST=\"db2\"|' $f"
    with files.edited(machine, ENVIRONMENT_FILE, change, shows='DATABASE_HOST="db2"'):
        yield


@sabotage("PRE-ENV-3", on="app2", near_miss=True, also_red=("PRE-ENV-2",), reason="db2|database")
def the_file_is_right_but_a_slot_is_on_the_replica(machine: MachineUnderCheck) -> Iterator[None]:
    """A drop-in sends the slot that a rollback would serve to the other database."""
    with overridden(machine, database_host="db2"):
        yield


@sabotage("PRE-ENV-4", on="app", also_red=("PRE-ENV-2",), reason="_USER.*default")
def the_file_names_another_redis_user(machine: MachineUnderCheck) -> Iterator[None]:
    """The default user is switched off: every command would be refused, and the service only be slower."""
    change = "sed -i 's|^SEARCH_API_REDIS_USER=.*|SEARCH_API_REDIS_USER=\"default\"|' $f"
    with files.edited(machine, ENVIRONMENT_FILE, change, shows='REDIS_USER="default"'):
        yield


@sabotage("PRE-ENV-4", on="app2", near_miss=True, also_red=("PRE-ENV-2",), reason="redis")
def the_file_is_right_but_a_slot_asks_another_port(machine: MachineUnderCheck) -> Iterator[None]:
    """The slot reports ready all the same: the service only degrades without its cache."""
    with overridden(machine, redis_port="6380"):
        yield
