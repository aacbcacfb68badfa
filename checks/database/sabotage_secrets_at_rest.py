"""Breaks of how secrets are stored: in clear, merely encoded, or kept well and written into a log."""

# ruff: noqa: S608 (what is put into statements is our own)

from __future__ import annotations

from collections.abc import Iterator

from checks.breaks import sql
from checks.breaks.edge import rewritten
from checks.gate import MachineUnderCheck, sabotage

NGINX = "/etc/nginx/nginx.conf"
SOMEBODY = "(SELECT id FROM users ORDER BY id LIMIT 1)"
ROW = "launchgate-break-000000000000000000000"


def _a_key(stored: str) -> str:
    return (
        "INSERT INTO api_keys (id, user_id, name, key_prefix, key_hash, environment, permissions, rate_limit_tier, "
        f"usage_count, is_active, created_at, updated_at) VALUES ('{ROW[:36]}', {SOMEBODY}, 'break', 'lg_sk_test_', "
        f"'{stored}', 'test', '[]', 'free', 0, 0, NOW(3), NOW(3))"
    )


def _a_connection(stored: str) -> str:
    return (
        "INSERT INTO database_connections (id, user_id, name, host, port, database_name, username, sealed_password, "
        f"use_tls, is_active, created_at, updated_at) VALUES ('{ROW[:36]}', {SOMEBODY}, 'break', 'customer1', 3306, "
        f"'packages', 'searcher', {stored}, 1, 0, NOW(3), NOW(3))"
    )


@sabotage("PRE-SEC-1", on="db1", reason="no hash")
def a_key_is_stored_in_clear(machine: MachineUnderCheck) -> Iterator[None]:
    """One row from before keys were hashed."""
    with sql.changed(
        machine,
        _a_key("lg_sk_test_" + "a" * 46),
        f"DELETE FROM api_keys WHERE id = '{ROW[:36]}'",
        shows="SELECT 1 FROM api_keys WHERE key_hash LIKE 'lg%'",
    ):
        yield


@sabotage("PRE-SEC-1", on="lb1", near_miss=True, reason="log lines")
def keys_are_hashed_but_the_balancer_writes_them_down(machine: MachineUnderCheck) -> Iterator[None]:
    """The access log gains a field for the Authorization header."""
    change = 'sed -i \'s/"request_id":"$request_name"/&,"auth":"$http_authorization"/\' $f'
    clean = (
        # What was written meanwhile goes, so that nothing secret stays behind and the check is green again.
        'sed -i \'/"auth":"Bearer/d\' /var/log/nginx/access.log && nginx -s reopen'
    )
    try:
        with rewritten(machine, change, shows="$http_authorization", path=NGINX):
            yield
    finally:
        machine.must(f"sleep 1.2; {clean}", sudo=True)


@sabotage("PRE-SEC-2", on="db1", reason="not encrypted")
def a_credential_is_stored_in_clear(machine: MachineUnderCheck) -> Iterator[None]:
    """One row with the password itself."""
    with sql.changed(
        machine,
        _a_connection("'Summer2024-holiday'"),
        f"DELETE FROM database_connections WHERE id = '{ROW[:36]}'",
        shows="SELECT 1 FROM database_connections WHERE sealed_password = 'Summer2024-holiday'",
    ):
        yield


@sabotage("PRE-SEC-2", on="db1", near_miss=True, reason="not encrypted")
def a_credential_is_encoded_and_not_encrypted(machine: MachineUnderCheck) -> Iterator[None]:
    """It looks like all others, key id and base64; whoever reads it needs no key."""
    with sql.changed(
        machine,
        _a_connection(
            "CONCAT('k1:', TO_BASE64(CONCAT(REPEAT('0', 12), 'Summer2024-holiday', REPEAT('0', 16))))"
        ),
        f"DELETE FROM database_connections WHERE id = '{ROW[:36]}'",
        shows=f"SELECT 1 FROM database_connections WHERE id = '{ROW[:36]}' AND sealed_password LIKE 'k1:%'",
    ):
        yield
