"""Indexes, plans, pools and secrets at rest: what the checks of the database take for right and wrong."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from checks.database.check_plans import needs_an_index, reads_all, reviewed
from checks.database.check_pools import connections_of, seconds
from checks.database.check_schema import parse_indexes, serves
from checks.database.check_secrets_at_rest import opened_with, parse_keys
from checks.gate import CouldNotLook

KEY = bytes(range(32))
KEYS = f"k2:{base64.b64encode(KEY).decode()},k1:{base64.b64encode(KEY[::-1]).decode()}"


def test_indexes_keep_the_order_of_their_columns_and_leave_out_hidden_ones() -> None:
    rows = [
        ["t", "PRIMARY", "0", "id", "", "1"],
        ["t", "two", "1", "b", "", "1"],
        ["t", "two", "1", "a", "", "1"],
        ["t", "hidden", "1", "c", "", "0"],
        ["t", "beginning", "1", "d", "4", "1"],
    ]
    assert parse_indexes(rows) == {
        "t": [{"columns": ["id"], "unique": True}, {"columns": ["b", "a"], "unique": False}]
    }


@pytest.mark.parametrize(
    ("present", "wanted", "good"),
    [
        ((["a", "b"], False), (["a"], False), True),
        ((["b", "a"], False), (["a", "b"], False), False),
        ((["a"], False), (["a", "b"], False), False),
        ((["a"], False), (["a"], True), False),
        ((["a"], True), (["a"], True), True),
        ((["a", "b"], True), (["a"], True), False),
        ((["a"], True), (["a"], False), True),
    ],
)
def test_an_index_serves_another(
    present: tuple[list[str], bool], wanted: tuple[list[str], bool], good: bool
) -> None:
    has, needs = ({"columns": columns, "unique": unique} for columns, unique in (present, wanted))
    assert serves(has, needs) is good


@pytest.mark.parametrize(
    ("row", "needs", "whole"),
    [
        ({"table": "users", "type": "ALL", "rows": 5000, "extra": ""}, True, True),
        ({"table": "users", "type": "ALL", "rows": 5, "extra": ""}, True, False),
        ({"table": "users", "type": "index", "rows": "60000", "extra": None}, True, True),
        ({"table": "users", "type": "const", "rows": 1, "extra": ""}, False, False),
        ({"table": "users", "type": "ref", "rows": 90000, "extra": ""}, True, False),
        ({"table": None, "type": None, "rows": None, "extra": "no matching row"}, False, False),
        ({"table": "<derived2>", "type": "ALL", "rows": 2, "extra": ""}, False, False),
    ],
)
def test_lines_of_a_plan(row: dict[str, Any], needs: bool, whole: bool) -> None:
    assert needs_an_index(row) is needs
    assert reads_all(row) is whole


@pytest.mark.parametrize(
    ("text", "value"), [("30s", 30.0), ("1m", 60.0), ("500ms", 0.5), ("15", 15.0), ("2h", 7200.0)]
)
def test_times_of_nginx(text: str, value: float) -> None:
    assert seconds(text) == value


def test_a_time_that_nginx_would_not_read_is_no_look() -> None:
    with pytest.raises(CouldNotLook):
        seconds("soon")


def sealed(key: bytes, name: str, owner: str = "u", row: str = "r") -> str:
    nonce = bytes(12)
    body = AESGCM(key).encrypt(nonce, b"open sesame", f"database_connections:{owner}:{row}".encode())
    return f"{name}:{base64.b64encode(nonce + body).decode()}"


def test_a_credential_opens_with_its_key_owner_and_row_only() -> None:
    keys = parse_keys(KEYS)
    assert opened_with(keys, sealed(KEY, "k2"), owner="u", row="r") == "open sesame"
    assert opened_with(keys, sealed(KEY[::-1], "k1"), owner="u", row="r") == "open sesame"
    assert opened_with(keys, sealed(KEY, "k2"), owner="v", row="r") is None
    assert opened_with(keys, sealed(KEY, "k2"), owner="u", row="s") is None
    assert opened_with(keys, sealed(KEY, "k1"), owner="u", row="r") is None
    assert opened_with(keys, sealed(KEY, "k9"), owner="u", row="r") is None


@pytest.mark.parametrize("stored", ["Summer2024-holiday", "k2:", "k2:not base64!", "k2:b3BlbiBzZXNhbWU=", ""])
def test_what_is_not_encrypted_does_not_open(stored: str) -> None:
    assert opened_with(parse_keys(KEYS), stored, owner="u", row="r") is None


def test_a_key_of_another_length_is_no_look() -> None:
    with pytest.raises(CouldNotLook, match="16 bytes"):
        parse_keys("k1:" + base64.b64encode(bytes(16)).decode())


def test_connections_are_told_apart_by_account_and_whole_address() -> None:
    rows = [
        ["1", "search_app", "10.0.0.2:4711", "search_api", "Sleep"],
        ["2", "search_app", "10.0.0.2", "search_api", "Sleep"],
        ["3", "search_app", "10.0.0.21:4711", "search_api", "Sleep"],
        ["4", "root", "10.0.0.2:4711", "NULL", "Query"],
    ]
    assert connections_of(rows, "10.0.0.2") == {"1", "2"}


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("SELECT CONCAT_WS(' ', LEFT(`d`, 1000)) AS t FROM `p` WHERE RAND(1) < 0.31 LIMIT %s", True),
        ("SELECT CONCAT_WS(' ', LEFT(`d`, 1000)) AS t FROM `p` WHERE RAND(1) < 0.31", False),
        ("SELECT CONCAT_WS(' ', LEFT(`d`, 1000)) AS t FROM `p` LIMIT %s", False),
        ("SELECT id FROM `p` WHERE `d` LIKE %s LIMIT %s", False),
    ],
)
def test_only_the_sample_of_words_may_read_a_large_table_whole(statement: str, allowed: bool) -> None:
    assert reviewed(statement) is allowed
