"""Rule sets as nft prints them, and what they let in."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.gate import CouldNotLook
from checks.probes.nft import NewConnection, Ruleset, parse

CAPTURED = Path(__file__).parent / "captured"
DB1 = "10.222.203.31"
GATEWAY, APP1, REPLICA, OPS1 = "10.222.203.1", "10.222.203.21", "10.222.203.32", "10.222.203.51"


@pytest.fixture
def real() -> Ruleset:
    return parse((CAPTURED / "db1.nft.json").read_text())


@pytest.mark.parametrize(
    ("source", "port", "let_in"),
    [
        (GATEWAY, 22, True),
        (APP1, 22, False),
        (APP1, 3306, True),
        (REPLICA, 3306, True),
        (OPS1, 3306, False),
        (OPS1, 9100, True),
        ("203.0.113.77", 22, False),
        ("2001:db8::77", 3306, False),
    ],
)
def test_real_rules_let_in_whom_they_name(real: Ruleset, source: str, port: int, let_in: bool) -> None:
    assert real.lets_in(NewConnection(source, DB1, port)) is let_in


def test_real_rules_drop_the_rest_for_both_versions(real: Ruleset) -> None:
    assert all(real.drops_by_default(hook, version) for hook in ("input", "forward") for version in (4, 6))
    assert real.named_ports() == {22, 3306, 9100}


def made(
    *rules: list[Any], policy: str = "drop", family: str = "inet", extra: list[Any] | None = None
) -> Ruleset:
    chain = {"family": family, "table": "t", "name": "in", "hook": "input", "type": "filter", "prio": 0}
    entries: list[Any] = [{"chain": {**chain, "policy": policy}}, *(extra or [])]
    entries += [{"rule": {"family": family, "table": "t", "chain": "in", "expr": expr}} for expr in rules]
    return parse(json.dumps({"nftables": entries}))


def compared(protocol: str, field: str, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": {"payload": {"protocol": protocol, "field": field}}, "right": right}}


ACCEPT: dict[str, Any] = {"accept": None}
PACKET = NewConnection("10.0.0.5", "10.0.0.1", 443)


@pytest.mark.parametrize(
    "rule",
    [
        [compared("tcp", "dport", 443), ACCEPT],
        [compared("tcp", "dport", {"set": [80, {"range": [440, 450]}]}), ACCEPT],
        [compared("ip", "saddr", {"prefix": {"addr": "10.0.0.0", "len": 24}}), ACCEPT],
        [compared("ip", "saddr", {"range": ["10.0.0.1", "10.0.0.9"]}), ACCEPT],
        [compared("tcp", "dport", 80, op="!="), {"limit": {"rate": 5}}, {"counter": {}}, ACCEPT],
        [{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": 8}}, ACCEPT],
        [{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "tcp"}}, ACCEPT],
        [
            {
                "vmap": {
                    "key": {"payload": {"protocol": "tcp", "field": "dport"}},
                    "data": {"set": [[443, ACCEPT]]},
                }
            }
        ],
    ],
)
def test_every_way_of_writing_a_permission_is_understood(rule: list[Any]) -> None:
    assert made(rule).lets_in(PACKET)


@pytest.mark.parametrize(
    "rule",
    [
        [compared("udp", "dport", 443), ACCEPT],
        [compared("ip6", "saddr", "10.0.0.5"), ACCEPT],
        [{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": [2, 4]}}, ACCEPT],
        [{"match": {"op": "==", "left": {"meta": {"key": "iif"}}, "right": "lo"}}, ACCEPT],
        [{"limit": {"rate": 5, "inv": True}}, ACCEPT],
        [{"reject": {"type": "tcp reset"}}],
    ],
)
def test_permissions_for_others_are_not_ours(rule: list[Any]) -> None:
    assert not made(rule).lets_in(PACKET)


def test_jumps_lead_back_and_gotos_do_not() -> None:
    sub = [{"chain": {"family": "inet", "table": "t", "name": "sub"}}]
    sub.append({"rule": {"family": "inet", "table": "t", "chain": "sub", "expr": [{"return": None}]}})  # type: ignore[dict-item]
    assert made([{"jump": {"target": "sub"}}], [ACCEPT], extra=sub).lets_in(PACKET)
    assert not made([{"goto": {"target": "sub"}}], [ACCEPT], extra=sub).lets_in(PACKET)


def test_named_sets_are_looked_up() -> None:
    named = [
        {
            "set": {
                "family": "inet",
                "table": "t",
                "name": "who",
                "elem": [{"prefix": {"addr": "10.0.0.0", "len": 8}}],
            }
        }
    ]
    assert made([compared("ip", "saddr", "@who"), ACCEPT], extra=named).lets_in(PACKET)


def test_a_table_for_ipv4_alone_leaves_ipv6_open() -> None:
    rules = made(family="ip")
    assert rules.drops_by_default("input", 4)
    assert not rules.drops_by_default("input", 6)
    assert rules.lets_in(NewConnection("2001:db8::1", "2001:db8::2", 22))


def test_policy_accept_lets_in_what_no_rule_speaks_of() -> None:
    assert made([compared("tcp", "dport", 22), ACCEPT], policy="accept").lets_in(PACKET)


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        ([{"xt": {"name": "recent"}}], "statement 'xt'"),
        ([{"match": {"op": "==", "left": {"numgen": {}}, "right": 1}}], "expression"),
        ([compared("tcp", "flags", "syn")], "header field"),
        ([compared("ip", "saddr", "@gone")], "not listed"),
        ([{"jump": {"target": "gone"}}], "not listed"),
        ([compared("tcp", "dport", 443, op="<")], "comparison"),
    ],
)
def test_what_is_not_understood_is_never_green(rule: list[Any], word: str) -> None:
    with pytest.raises(CouldNotLook, match=word):
        made(rule).lets_in(PACKET)


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"other": 1}'])
def test_other_output_is_not_an_empty_rule_set(text: str) -> None:
    with pytest.raises(CouldNotLook, match="no JSON rule set"):
        parse(text)


@given(st.integers(1, 65535), st.integers(1, 65535))
def test_only_the_port_of_the_rule_gets_in(of_rule: int, of_packet: int) -> None:
    rules = made([compared("tcp", "dport", of_rule), ACCEPT])
    assert rules.lets_in(NewConnection("10.0.0.5", "10.0.0.1", of_packet)) == (of_rule == of_packet)
    assert rules.named_ports() == {of_rule}


@given(st.ip_addresses(v=4), st.integers(0, 32), st.ip_addresses(v=4))
def test_prefixes_hold_their_addresses(network: Any, length: int, source: Any) -> None:
    import ipaddress

    rules = made([compared("ip", "saddr", {"prefix": {"addr": str(network), "len": length}}), ACCEPT])
    inside = source in ipaddress.ip_network(f"{network}/{length}", strict=False)
    assert rules.lets_in(NewConnection(str(source), "10.0.0.1", 22)) == inside
