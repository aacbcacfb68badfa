"""Breaks after which statements read more than they should."""

# ruff: noqa: S608 (what is put into statements is our own)

from __future__ import annotations

from collections.abc import Iterator

from checks.breaks import sql
from checks.gate import MachineUnderCheck, sabotage

FILLERS = 5000
# What stands on the uniqueness of addresses.
NEEDS_UNIQUE_ADDRESSES = ("PRE-DB-3", "PERF-DB-1", "POST-FUNC-2")


@sabotage("PERF-DB-1", on="db1", also_red=("PRE-DB-3",), reason="revoked_tokens")
def the_index_of_expired_tokens_is_gone(machine: MachineUnderCheck) -> Iterator[None]:
    """Every logout reads all revoked tokens to find the old ones."""
    with sql.changed(
        machine,
        "ALTER TABLE revoked_tokens DROP INDEX ix_revoked_tokens_expires_at",
        "ALTER TABLE revoked_tokens ADD INDEX ix_revoked_tokens_expires_at (expires_at)",
        shows="SELECT 1 FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM information_schema.statistics "
        "WHERE table_schema = 'search_api' AND index_name = 'ix_revoked_tokens_expires_at')",
    ):
        yield


@sabotage("PERF-DB-1", on="db1", near_miss=True, also_red=("PRE-DB-3",), reason="revoked_tokens")
def the_index_is_there_but_the_optimizer_may_not_use_it(machine: MachineUnderCheck) -> Iterator[None]:
    """Somebody hid it to see whether it is needed, and forgot."""
    maria = "mariadb" in sql.run(machine, "SELECT LOWER(VERSION())")[0][0]
    hide, show = ("IGNORED", "NOT IGNORED") if maria else ("INVISIBLE", "VISIBLE")
    column = "ignored = 'YES'" if maria else "is_visible = 'NO'"
    alter = "ALTER TABLE revoked_tokens ALTER INDEX ix_revoked_tokens_expires_at "
    with sql.changed(
        machine,
        alter + hide,
        alter + show,
        shows=f"SELECT 1 FROM information_schema.statistics WHERE table_schema = 'search_api' AND {column}",
    ):
        yield


@sabotage("PERF-DB-2", on="db1", also_red=NEEDS_UNIQUE_ADDRESSES, reason="users")
def logins_read_every_user(machine: MachineUnderCheck) -> Iterator[None]:
    """The index of addresses is gone, and there are many users."""
    digits = "(SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 "
    digits += "UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)"
    with sql.changed(
        machine,
        "ALTER TABLE users DROP INDEX email; INSERT INTO users (id, email, name, password_hash, role, token_version, "
        "is_active, created_at, last_active) SELECT UUID(), CONCAT('break-', UUID(), '@break.example.com'), 'break', "
        f"'-', 'user', 1, 0, NOW(3), NOW(3) FROM {digits} a, {digits} b, {digits} c, {digits} d "
        f"LIMIT {FILLERS}; ANALYZE TABLE users",
        "DELETE FROM users WHERE email LIKE 'break-%@break.example.com'; "
        # The check of registration has made an address twice meanwhile: that must not keep the index from coming back.
        "DELETE k FROM api_keys k JOIN users u ON k.user_id = u.id JOIN users o ON o.email = u.email AND o.id < u.id; "
        "DELETE u FROM users u JOIN users o ON o.email = u.email AND o.id < u.id; "
        "ALTER TABLE users ADD UNIQUE INDEX email (email); ANALYZE TABLE users",
        shows=f"SELECT 1 FROM users HAVING COUNT(*) > {FILLERS - 1}",
    ):
        yield


@sabotage(
    "PERF-DB-2",
    on="customer1",
    near_miss=True,
    may_also_red=("POST-FUNC-5", "POST-FUNC-4"),
    reason="MATCH|packages",
)
def the_index_has_the_right_name_but_is_not_full_text(machine: MachineUnderCheck) -> Iterator[None]:
    """The customer's table was restored with ordinary indexes: words are looked for row by row."""
    with sql.changed(
        machine,
        "DROP TABLE IF EXISTS packages_restored; CREATE TABLE packages_restored LIKE packages; "
        "ALTER TABLE packages_restored DROP INDEX name_description, DROP INDEX description_only, "
        "ADD INDEX name_description (name, description(100)); "
        "INSERT INTO packages_restored SELECT * FROM packages LIMIT 20000; ANALYZE TABLE packages_restored; "
        "RENAME TABLE packages TO packages_kept, packages_restored TO packages",
        "DROP TABLE packages; RENAME TABLE packages_kept TO packages",
        shows="SELECT 1 FROM information_schema.statistics WHERE table_schema = 'packages' "
        "AND table_name = 'packages' AND index_name = 'name_description' AND index_type = 'BTREE'",
        database="packages",
    ):
        yield
