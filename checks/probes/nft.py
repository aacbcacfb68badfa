"""The packet filter in force: what its rules would do with a new connection, whoever wrote them and how."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from checks.gate import CouldNotLook, MachineUnderCheck

COMMAND = "nft --json --numeric list ruleset"
DEEPEST_JUMP = 16
# Statements that count, log or mark but decide nothing.
_BYSTANDERS = frozenset(
    {"counter", "log", "limit", "mangle", "ct timeout", "notrack", "meter", "last", "quota"}
)
_FAMILY_OF = {4: ("ip", "inet"), 6: ("ip6", "inet")}

Statement = dict[str, Any]


@dataclass(frozen=True)
class NewConnection:
    """The first TCP packet of a connection from `source` to `port` of `target`, come in over `interface`."""

    source: str
    target: str
    port: int
    interface: str = "host0"

    @property
    def version(self) -> int:
        """4 or 6."""
        return ipaddress.ip_address(self.source).version


@dataclass(frozen=True)
class Chain:
    """A chain with its rules; `hook` is None for one that is only jumped to."""

    family: str
    table: str
    name: str
    hook: str | None
    kind: str | None
    priority: int
    policy: str
    rules: tuple[tuple[Statement, ...], ...]


@dataclass
class Ruleset:
    """All chains and named sets of a machine."""

    chains: list[Chain] = field(default_factory=list)
    sets: dict[tuple[str, str, str], list[Any]] = field(default_factory=dict)

    def base(self, hook: str, version: int) -> list[Chain]:
        """Filter chains on a hook that see packets of this IP version, first come first."""
        found = [
            one
            for one in self.chains
            if one.hook == hook and one.kind == "filter" and one.family in _FAMILY_OF[version]
        ]
        return sorted(found, key=lambda one: one.priority)

    def drops_by_default(self, hook: str, version: int) -> bool:
        """Whether a packet that no rule speaks of is dropped on this hook."""
        return any(one.policy == "drop" for one in self.base(hook, version))

    def named_ports(self) -> set[int]:
        """Every TCP port that some rule speaks of, the ends of ranges for all between them."""
        return {port for chain in self.chains for rule in chain.rules for port in _ports_in(list(rule))} | {
            port for elements in self.sets.values() for port in _numbers(elements)
        }

    def lets_in(self, packet: NewConnection) -> bool:
        """Whether a new connection passes every input chain. A rate limit counts as not yet reached.

        Raises CouldNotLook for an expression that this reader does not know.
        """
        return all(self._verdict(chain, packet) == "accept" for chain in self.base("input", packet.version))

    def _verdict(self, chain: Chain, packet: NewConnection) -> str:
        return self._walk(chain, packet, 0) or chain.policy

    def _walk(self, chain: Chain, packet: NewConnection, depth: int) -> str | None:
        if depth > DEEPEST_JUMP:
            raise CouldNotLook(f"nft: jumps of chain {chain.name} go deeper than {DEEPEST_JUMP}")
        for rule in chain.rules:
            said = self._rule(chain, rule, packet, depth)
            if said == "return":
                return None
            if said is not None:
                return said
        return None

    def _rule(
        self, chain: Chain, rule: tuple[Statement, ...], packet: NewConnection, depth: int
    ) -> str | None:
        for statement in rule:
            ((kind, body),) = statement.items()
            if kind == "match":
                if not self._matches(chain, body, packet):
                    return None
            elif kind in ("accept", "drop", "return"):
                return str(kind)
            elif kind == "reject":
                return "drop"
            elif kind in ("jump", "goto"):
                said = self._walk(self._chain(chain, body["target"]), packet, depth + 1)
                if said is not None or kind == "goto":
                    return said or "return"
            elif kind == "vmap":
                said = self._mapped(chain, body, packet, depth)
                if said is not None:
                    return said
            elif kind == "limit" and body.get("inv"):
                return None  # "over" a rate: not yet reached
            elif kind not in _BYSTANDERS:
                raise CouldNotLook(f"nft: this reader does not know the statement {kind!r}")
        return None

    def _mapped(self, chain: Chain, body: dict[str, Any], packet: NewConnection, depth: int) -> str | None:
        value = _value_of(body["key"], packet)
        data = body["data"]
        elements = data["set"] if isinstance(data, dict) else self.sets[chain.family, chain.table, data[1:]]
        for key, verdict in elements:
            if value is not None and self._equals(chain, value, key):
                return self._rule(chain, (verdict,), packet, depth)
        return None

    def _chain(self, origin: Chain, name: str) -> Chain:
        for one in self.chains:
            if (one.family, one.table, one.name) == (origin.family, origin.table, name):
                return one
        raise CouldNotLook(f"nft: chain {name!r} is jumped to but not listed")

    def _matches(self, chain: Chain, body: dict[str, Any], packet: NewConnection) -> bool:
        value = _value_of(body["left"], packet)
        if value is None:
            return False  # the expression is about another protocol than this packet's
        equal = self._equals(chain, value, body["right"])
        if body["op"] in ("==", "in"):
            return equal
        if body["op"] == "!=":
            return not equal
        raise CouldNotLook(f"nft: this reader does not know the comparison {body['op']!r}")

    def _equals(self, chain: Chain, value: str, right: Any) -> bool:
        if isinstance(right, str) and right.startswith("@"):
            elements = self.sets.get((chain.family, chain.table, right[1:]))
            if elements is None:
                raise CouldNotLook(f"nft: set {right} is used but not listed")
            return any(self._equals(chain, value, one) for one in elements)
        if isinstance(right, list):
            return any(self._equals(chain, value, one) for one in right)
        if isinstance(right, dict):
            return self._within(chain, value, right)
        return right == "*" or _same(value, str(right))

    def _within(self, chain: Chain, value: str, right: dict[str, Any]) -> bool:
        if "set" in right:
            return self._equals(chain, value, right["set"])
        if "elem" in right:
            return self._equals(chain, value, right["elem"]["val"])
        if "prefix" in right:
            network = ipaddress.ip_network(
                f"{right['prefix']['addr']}/{right['prefix']['len']}", strict=False
            )
            return ipaddress.ip_address(value) in network
        if "range" in right:
            low, high = (_ordered(one) for one in right["range"])
            return bool(low <= _ordered(value) <= high)
        raise CouldNotLook(f"nft: this reader does not know the value {right!r}")


def ruleset(machine: MachineUnderCheck) -> Ruleset:
    """The machine's rules in force. Raises CouldNotLook when nft is missing or fails."""
    return parse(machine.must(COMMAND, sudo=True).stdout)


def parse(text: str) -> Ruleset:
    """The output of `nft --json list ruleset`. Raises CouldNotLook when it is not that."""
    try:
        entries: list[dict[str, Any]] = json.loads(text)["nftables"]
    except (ValueError, KeyError, TypeError) as fault:
        raise CouldNotLook(f"nft printed no JSON rule set ({fault!r})") from fault
    rules: dict[tuple[str, str, str], list[tuple[Statement, ...]]] = {}
    for body in _bodies(entries, "rule"):
        statements = tuple(
            {one: {}} if isinstance(one, str) else {key: value or {} for key, value in one.items()}
            for one in body["expr"]
        )
        rules.setdefault((body["family"], body["table"], body["chain"]), []).append(statements)
    found = Ruleset()
    for body in _bodies(entries, "chain"):
        found.chains.append(_chain_of(body, rules))
    for kind in ("set", "map"):
        for body in _bodies(entries, kind):
            found.sets[body["family"], body["table"], body["name"]] = body.get("elem", [])
    return found


def _ports_in(node: Any) -> Iterator[int]:
    """Numbers that a destination port is compared with, anywhere below a statement."""
    if isinstance(node, list):
        for one in node:
            yield from _ports_in(one)
    elif isinstance(node, dict):
        left = node.get("left", node.get("key"))
        if isinstance(left, dict) and left.get("payload", {}).get("field") == "dport":
            yield from _numbers(node.get("right", node.get("data")))
        for one in node.values():
            yield from _ports_in(one)


def _numbers(node: Any) -> Iterator[int]:
    if isinstance(node, int) and 0 < node < 65536:
        yield node
    elif isinstance(node, list | dict):
        for one in node if isinstance(node, list) else node.values():
            yield from _numbers(one)


def _bodies(entries: Iterable[dict[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    return (entry[kind] for entry in entries if kind in entry)


def _chain_of(body: dict[str, Any], rules: dict[tuple[str, str, str], list[tuple[Statement, ...]]]) -> Chain:
    family, table, name = body["family"], body["table"], body["name"]
    return Chain(
        family=family,
        table=table,
        name=name,
        hook=body.get("hook"),
        kind=body.get("type"),
        priority=int(body.get("prio", 0)),
        policy=body.get("policy", "accept"),
        rules=tuple(rules.get((family, table, name), ())),
    )


def _value_of(left: Any, packet: NewConnection) -> str | None:
    """The packet's value for the left side of a comparison, None when it has none."""
    ((kind, body),) = left.items()
    if kind == "payload":
        return _header(str(body.get("protocol")), str(body.get("field")), packet)
    if kind == "meta":
        return _meta(str(body["key"]), packet)
    if kind == "ct":
        known = {"state": "8", "direction": "original"}
        if body["key"] in known:
            return known[body["key"]]
    raise CouldNotLook(f"nft: this reader does not know the expression {left!r}")


def _header(protocol: str, name: str, packet: NewConnection) -> str | None:
    if protocol in ("ip", "ip6"):
        if (protocol == "ip") != (packet.version == 4):
            return None
        known = {"saddr": packet.source, "daddr": packet.target, "protocol": "6", "nexthdr": "6"}
        if name in known:
            return known[name]
    elif protocol in ("tcp", "th"):
        if name == "dport":
            return str(packet.port)
    elif protocol in ("udp", "icmp", "icmpv6", "udplite", "sctp", "dccp", "igmp"):
        return None
    raise CouldNotLook(f"nft: this reader does not know the header field {protocol} {name}")


def _meta(key: str, packet: NewConnection) -> str:
    known = {
        "iif": packet.interface,
        "iifname": packet.interface,
        "l4proto": "6",
        "nfproto": "2" if packet.version == 4 else "10",
        "protocol": "0x0800" if packet.version == 4 else "0x86dd",
        "pkttype": "host",
    }
    if key not in known:
        raise CouldNotLook(f"nft: this reader does not know meta {key}")
    return known[key]


# nft prints numbers with --numeric; some releases print a few names all the same.
_NUMBERS = {"new": "8", "tcp": "6", "ipv4": "2", "ipv6": "10"}


def _same(value: str, right: str) -> bool:
    return value == _NUMBERS.get(right, right) or _text(value) == _text(right)


def _text(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        return value


def _ordered(value: Any) -> int:
    text = str(value)
    return int(text) if text.isdigit() else int(ipaddress.ip_address(text))
