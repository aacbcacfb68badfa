"""Breaks of the service's schema."""

# ruff: noqa: S608 (what is put into statements are names and numbers of our own)

from __future__ import annotations

from collections.abc import Iterator

from checks.breaks import sql
from checks.gate import MachineUnderCheck, compliant_variant, sabotage

INDEX_ROWS = (
    "SELECT index_name FROM information_schema.statistics WHERE table_schema = 'search_api' "
    "AND table_name = 'search_records' AND index_name = 'ix_search_records_user_id_created_at' "
    "AND seq_in_index = 1 AND column_name = 'created_at'"
)
# The balancer's machines say "not ready" while the recorded revision is too old.
NOT_READY = ("POST-FUNC-1",)


@sabotage(
    "PRE-DB-2", on="db1", also_red=NOT_READY, may_also_red=("INF-LB-3", "INF-MON-6"), reason="revision|schema"
)
def the_recorded_revision_is_older(machine: MachineUnderCheck) -> Iterator[None]:
    """As if the last migration had not been run."""
    before = sql.run(machine, "SELECT version_num FROM alembic_version")[0][0]
    older = f"{int(before) - 1:04d}"
    with sql.changed(
        machine,
        f"UPDATE alembic_version SET version_num = '{older}'",
        f"UPDATE alembic_version SET version_num = '{before}'",
        shows=f"SELECT 1 FROM alembic_version WHERE version_num = '{older}'",
    ):
        yield


@sabotage("PRE-DB-2", on="db1", near_miss=True, reason="api_key_uses")
def the_revision_is_right_but_a_column_is_not_there(machine: MachineUnderCheck) -> Iterator[None]:
    """A migration that stopped halfway, after which somebody set the revision by hand."""
    rename = "ALTER TABLE api_key_uses RENAME COLUMN {} TO {}"
    with sql.changed(
        machine,
        rename.format("requests", "requests_new"),
        rename.format("requests_new", "requests"),
        shows="SHOW COLUMNS FROM api_key_uses LIKE 'requests_new'",
    ):
        yield


@compliant_variant("PRE-DB-2", on="db1")
def the_schema_is_newer_by_an_expansion(machine: MachineUnderCheck) -> Iterator[None]:
    """A column that only the next release knows: expanding never disturbs the one that runs."""
    with sql.changed(
        machine,
        "ALTER TABLE api_key_uses ADD COLUMN launchgate_next INT NULL",
        "ALTER TABLE api_key_uses DROP COLUMN launchgate_next",
        shows="SHOW COLUMNS FROM api_key_uses LIKE 'launchgate_next'",
    ):
        yield


@sabotage("PRE-DB-3", on="db1", reason="search_records.*created_at")
def an_index_is_gone(machine: MachineUnderCheck) -> Iterator[None]:
    """The index that finds old searches is dropped."""
    with sql.changed(
        machine,
        "ALTER TABLE search_records DROP INDEX ix_search_records_created_at",
        "ALTER TABLE search_records ADD INDEX ix_search_records_created_at (created_at)",
        shows="SELECT 1 FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM information_schema.statistics "
        "WHERE table_schema = 'search_api' AND index_name = 'ix_search_records_created_at')",
    ):
        yield


@sabotage("PRE-DB-3", on="db1", near_miss=True, reason="search_records.*user_id, created_at")
def an_index_has_its_columns_in_the_wrong_order(machine: MachineUnderCheck) -> Iterator[None]:
    """Right name, right columns; but a user's latest searches cannot be found with it."""
    name = "ix_search_records_user_id_created_at"
    with sql.changed(
        machine,
        f"ALTER TABLE search_records ADD INDEX launchgate_break (user_id), DROP INDEX {name}, "
        f"ADD INDEX {name} (created_at, user_id)",
        f"ALTER TABLE search_records DROP INDEX {name}, ADD INDEX {name} (user_id, created_at), "
        "DROP INDEX launchgate_break",
        shows=INDEX_ROWS,
    ):
        yield


@compliant_variant("PRE-DB-3", on="db1")
def a_longer_index_serves_as_well(machine: MachineUnderCheck) -> Iterator[None]:
    """(expires_at, token_id) instead of (expires_at) finds the same rows."""
    name = "ix_revoked_tokens_expires_at"
    with sql.changed(
        machine,
        f"ALTER TABLE revoked_tokens DROP INDEX {name}, ADD INDEX {name} (expires_at, token_id)",
        f"ALTER TABLE revoked_tokens DROP INDEX {name}, ADD INDEX {name} (expires_at)",
        shows="SELECT 1 FROM information_schema.statistics WHERE table_schema = 'search_api' "
        f"AND index_name = '{name}' AND seq_in_index = 2",
    ):
        yield
