"""Keys and credentials as they are stored: a key made now and a password stored now, looked for in clear everywhere."""

# ruff: noqa: S608 (what is put into statements are names that the database itself told)

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import time
from concurrent.futures import ThreadPoolExecutor

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from checks.database.check_schema import DATABASE, primary_of
from checks.gate import CouldNotLook, EdgeSession, Evidence, MachineUnderCheck, item
from checks.gate.fleet import Fleet
from checks.probes import mysql
from checks.probes.accounts import Tenants
from checks.probes.api import call, expect_success
from inventories.schema import Inventory
from inventories.secrets import read_secret

RANDOM_PART = re.compile(r"lg_sk_(?:test|live)_(?P<random>[0-9A-Za-z]{32,})")
NONCE_BYTES, KEY_BYTES = 12, 32
MOST_ROWS = 5000  # of stored credentials that are decrypted one by one
LOG_DELAY_S = 1.3  # NGINX writes its log every second
# Counts the lines that hold what comes in on standard input: a secret in no argument list.
LOGS = (
    "exec 3<&0; { journalctl -q --no-pager -o cat --since '-3min'; "
    "find /var/log -type f -mmin -5 -size -64M ! -path '*/journal/*' -exec cat {} +; } </dev/null 2>/dev/null "
    "| grep -aFc -f /dev/fd/3; true"
)


@item("PRE-SEC-1", on=None)
def check_keys_are_stored_as_keyed_hashes(
    evidence: Evidence, edge: EdgeSession, fleet: Fleet, inventory: Inventory, tenants: Tenants
) -> None:
    """A key made now is long and random, stored as its HMAC under the pepper, and nowhere in clear."""
    made = tenants.one(evidence).key(evidence)
    secret, key_id = str(made["secretKey"]), str(made["apiKey"]["id"])
    found = RANDOM_PART.match(secret)
    evidence.that(
        found is not None,
        looked_at="form of a new key",
        observed=f"{len(secret)} characters",
        expected="lg_sk_{test|live}_ and at least 32 random letters and digits",
    )
    primary = primary_of(fleet)
    rows = ask(primary, f"SELECT key_hash, key_prefix FROM {DATABASE}.api_keys WHERE id = '{key_id}'")
    pepper = read_secret(inventory, "api_key_pepper")
    wanted = hmac.new(pepper.encode(), secret.encode(), hashlib.sha256).hexdigest()
    evidence.that(
        len(rows) == 1 and hmac.compare_digest(rows[0][0], wanted),
        looked_at=f"api_keys.key_hash of key {key_id}",
        observed="the keyed hash" if rows and rows[0][0] == wanted else "another value",
        expected="HMAC-SHA256 of the key under the pepper",
    )
    odd = ask(
        primary, f"SELECT id FROM {DATABASE}.api_keys WHERE NOT key_hash REGEXP '^[0-9a-f]{{64}}$' LIMIT 5"
    )
    evidence.expect(looked_at="stored keys that are no hash", observed=[row[0] for row in odd], expected=[])
    asked = call(edge, "POST", "search", credential=secret, body={"query": "key"})
    evidence.note(looked_at="the key is used once", observed=asked.status)
    time.sleep(LOG_DELAY_S)
    _expect_nowhere(evidence, fleet, secret[len("lg_sk_test_") + 8 :], "the key")


@item("PRE-SEC-2", on=None)
def check_credentials_are_stored_encrypted(
    evidence: Evidence, edge: EdgeSession, fleet: Fleet, inventory: Inventory, tenants: Tenants
) -> None:
    """A password stored now opens only with the key, its owner and its row; so does every other; none is in clear."""
    tenant = tenants.one(evidence)
    stored = tenant.database(evidence)
    password = read_secret(inventory, "customer_password")
    shown = call(edge, "GET", f"databases/{stored['id']}", credential=tenant.token)
    expect_success(evidence, shown)
    evidence.that(
        password not in shown.text and "password" not in shown.data,
        looked_at=f"{shown.asked}: the password",
        observed="in the answer" if password in shown.text else "not in the answer",
        expected="never returned",
    )
    primary, keys = primary_of(fleet), parse_keys(read_secret(inventory, "encryption_keys"))
    rows = ask(
        primary,
        f"SELECT id, user_id, sealed_password FROM {DATABASE}.database_connections WHERE sealed_password IS NOT NULL "
        f"ORDER BY created_at DESC LIMIT {MOST_ROWS}",
    )
    own = next((row for row in rows if row[0] == stored["id"]), None)
    opened = opened_with(keys, own[2], owner=own[1], row=own[0]) if own else None
    evidence.that(
        opened == password,
        looked_at="sealed_password of the connection made now, opened with the fleet's key, its owner and its row",
        observed="the password"
        if opened == password
        else "does not open"
        if opened is None
        else "something else",
        expected="the password",
    )
    assert own is not None
    foreign = opened_with(keys, own[2], owner=tenants.other(evidence).user_id, row=own[0])
    evidence.expect(looked_at="the same, as if another user owned it", observed=foreign, expected=None)
    closed = [row[0] for row in rows if opened_with(keys, row[2], owner=row[1], row=row[0]) is None]
    evidence.expect(
        looked_at=f"stored credentials ({len(rows)}) that are not encrypted for their owner and row",
        observed=closed[:5],
        expected=[],
    )
    _expect_nowhere(evidence, fleet, password, "the password")


def parse_keys(text: str) -> dict[str, AESGCM]:
    """`id:BASE64[,id:BASE64]` as ciphers by key id. Raises CouldNotLook when a key has not 32 bytes."""
    found = {}
    for part in text.split(","):
        name, _, encoded = part.strip().partition(":")
        key = base64.b64decode(encoded)
        if len(key) != KEY_BYTES:
            raise CouldNotLook(f"encryption key {name!r} has {len(key)} bytes, not {KEY_BYTES}")
        found[name] = AESGCM(key)
    return found


def opened_with(keys: dict[str, AESGCM], stored: str, *, owner: str, row: str) -> str | None:
    """The password in `keyid:base64(nonce, ciphertext, tag)`, None when it does not open for this owner and row."""
    name, _, encoded = stored.partition(":")
    if name not in keys:
        return None
    try:
        sealed = base64.b64decode(encoded, validate=True)
        bound_to = f"database_connections:{owner}:{row}".encode()
        return keys[name].decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to).decode()
    except (binascii.Error, InvalidTag, ValueError):
        return None


def ask(machine: MachineUnderCheck, sql: str) -> list[list[str]]:
    """Rows of a statement that may hold a secret: it goes over standard input, and is asked every time."""
    answer = machine.unremembering().must(mysql.CLIENT, sudo=True, stdin=sql)
    return [line.split("\t") for line in answer.stdout.splitlines()]


def _expect_nowhere(evidence: Evidence, fleet: Fleet, secret: str, what: str) -> None:
    """Record that a secret stands in no text column of the service's database and in no recent log of its way."""
    primary = primary_of(fleet)
    columns = mysql.query(
        primary,
        f"SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = '{DATABASE}' "
        "AND data_type IN ('char', 'varchar', 'text', 'mediumtext', 'longtext', 'json')",
    )
    looks = [
        f"(SELECT '{table}.{column}' FROM {DATABASE}.`{table}` WHERE INSTR(`{column}`, '{secret}') LIMIT 1)"
        for table, column in columns
    ]
    found = ask(primary, " UNION ALL ".join(looks))
    evidence.expect(
        looked_at=f"{what}, in clear, in {len(columns)} text columns",
        observed=[row[0] for row in found],
        expected=[],
    )
    machines = [fleet.named(name).unremembering() for name in fleet.names(("lb", "app"))]
    with ThreadPoolExecutor(len(machines)) as pool:
        counts = pool.map(
            lambda machine: machine.must(LOGS, sudo=True, stdin=secret).stdout.strip(), machines
        )
        lines = dict(zip((machine.name for machine in machines), counts, strict=True))
    evidence.expect(
        looked_at=f"log lines of the last minutes with {what}",
        observed=lines,
        expected=dict.fromkeys(lines, "0"),
    )
