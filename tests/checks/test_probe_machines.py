"""Answers about a machine, its proxy, its SSH server, its addresses and its Redis."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.database.check_server_settings import parse_grants
from checks.gate import CouldNotLook
from checks.hardening.check_network import addresses, is_private
from checks.probes import edge_log, mysql, proxy, reach, redis, security_headers, server, sshd

CAPTURED = Path(__file__).parent / "captured"


def test_a_real_machine_is_read_whole() -> None:
    seen = server.parse((CAPTURED / "app1.condition.txt").read_text())
    assert (seen.processors_online, seen.state, seen.failed_units) == (2, "running", ())
    assert seen.memory_mb > 20_000
    assert seen.slice_limits == {"-.slice": "infinity", "system.slice": "infinity"}
    assert seen.processes["PID 1"] == server.Process(2, 20000)
    assert seen.processes["nginx.service"].open_files == 20000
    assert {one.path: one.mount for one in seen.storage}["/tmp"] == "/tmp"
    assert seen.sync_write_ms == tuple(sorted(seen.sync_write_ms))


@pytest.mark.parametrize("lost", ["memory", "processes", "writes", "storage", "services"])
def test_a_part_that_is_missing_is_not_passed_over(lost: str) -> None:
    text = (CAPTURED / "app1.condition.txt").read_text()
    with pytest.raises(CouldNotLook, match=lost):
        server.parse(text.replace(f"=== launchgate {lost} ===", "something else"))


@pytest.mark.parametrize(("text", "count"), [("0", 1), ("0-3", 4), ("0,2-3", 3), ("0-1,4,6-7", 5)])
def test_processors_are_counted(text: str, count: int) -> None:
    assert server.count_processors(text) == count


def test_workers_older_than_the_configuration_are_noticed() -> None:
    text = (CAPTURED / "lb1.proxy.txt").read_text()
    seen = proxy.parse(text)
    assert (seen.active, seen.enabled, seen.test_status, len(seen.workers_started)) == (
        "active",
        "enabled",
        0,
        2,
    )
    assert seen.runs_what_is_written
    later = text.replace(f"Written={seen.configuration_written:.0f}", "Written=1795368750")
    assert not proxy.parse(later).runs_what_is_written


def test_workers_that_are_leaving_do_not_count() -> None:
    line = "Process nginx: worker process is shutting down @ 1"
    seen = proxy.parse((CAPTURED / "lb1.proxy.txt").read_text() + line)
    assert len(seen.workers_started) == 2


def test_no_worker_runs_nothing() -> None:
    assert not proxy.Proxy("active", "enabled", 0, 0.0, ()).runs_what_is_written


def test_an_unseen_proxy_is_not_a_stopped_one() -> None:
    with pytest.raises(CouldNotLook, match="cannot be seen"):
        proxy.parse("ActiveState=active")


def test_ssh_settings_are_kept_apart_by_login() -> None:
    real = (CAPTURED / "app1.sshd.txt").read_text()
    found = sshd.parse(
        f"login-looked-at admin@10.0.0.1\n{real}login-looked-at root@::1\nPermitRootLogin no\n"
    )
    assert found["admin", "10.0.0.1"]["passwordauthentication"] == "no"
    assert found["root", "::1"] == {"permitrootlogin": "no"}
    with pytest.raises(CouldNotLook, match="unexpected line"):
        sshd.parse("port 22")


def test_addresses_of_a_real_machine() -> None:
    found = addresses((CAPTURED / "app1.ip.json").read_text())
    assert "10.222.203.21" in found
    assert all(is_private(one) for one in found)
    with pytest.raises(CouldNotLook, match="ip -json"):
        addresses(json.dumps([1]))


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("172.31.255.255", True),
        ("172.32.0.1", False),
        ("192.168.0.1", True),
        ("192.169.0.1", False),
        ("fd12::1", True),
        ("2001:db8::1", False),
        ("203.0.113.9", False),
    ],
)
def test_what_looks_private_is_not_always(address: str, private: bool) -> None:
    assert is_private(address) is private


def test_answers_of_ports() -> None:
    assert reach.parse("10.0.0.1/22 open\n10.0.0.1/9 refused\n") == {
        ("10.0.0.1", 22): reach.Answer.OPEN,
        ("10.0.0.1", 9): reach.Answer.REFUSED,
    }
    with pytest.raises(CouldNotLook, match="broken"):
        reach.parse("10.0.0.1/22 broken")


def test_ports_of_this_computer_are_told_apart() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        found = reach.from_here([("127.0.0.1", port)])
    assert found == {("127.0.0.1", port): reach.Answer.OPEN}
    assert reach.from_here([("127.0.0.1", port)]) == {("127.0.0.1", port): reach.Answer.REFUSED}
    assert reach.from_here([]) == {}


def test_the_last_upstream_of_a_request_answered_it() -> None:
    lines = ['{"upstream":"10.0.0.1:8443"}', '{"upstream":"10.0.0.1:8443, 10.0.0.2:8443"}']
    assert edge_log.parse("\n".join(lines)) == {"10.0.0.1:8443": 1, "10.0.0.2:8443": 1}
    with pytest.raises(CouldNotLook, match="without an upstream"):
        edge_log.parse("not json")


def test_redis_answers() -> None:
    assert redis.parse_settings("maxmemory\n67108864\nsave\n\nport\n0\n") == {
        "maxmemory": "67108864",
        "save": "",
        "port": "0",
    }
    assert redis.parse_info("# Server\r\nrole:master\r\nexecutable:/usr/bin/x:y\r\n") == {
        "role": "master",
        "executable": "/usr/bin/x:y",
    }
    assert redis.parse_users("user default off resetchannels -@all\n") == {
        "default": ("off", "resetchannels", "-@all")
    }
    assert redis.parse_file('# maxmemory 1\nmaxmemory 64mb\nMAXMEMORY 65mb\nlogfile ""\n') == {
        "maxmemory": "65mb",
        "logfile": "",
    }


@pytest.mark.parametrize(
    ("size", "count"), [("64mb", 64 * 2**20), ("64m", 64_000_000), ("1GB", 2**30), ("100", 100)]
)
def test_sizes_have_redis_own_units(size: str, count: int) -> None:
    assert redis.in_bytes(size) == count


@given(st.text(max_size=8).filter(lambda text: not text.strip()[:1].isdigit()))
def test_what_is_no_size_is_not_zero(text: str) -> None:
    with pytest.raises(CouldNotLook, match="not a size"):
        redis.in_bytes(text)


def test_grants_are_read_by_scope() -> None:
    text = (
        "GRANT USAGE ON *.* TO `a`@`10.0.0.1` IDENTIFIED BY PASSWORD '*AB' REQUIRE SSL\n"
        "GRANT SELECT, INSERT ON `search\\_api`.* TO `a`@`10.0.0.1` WITH GRANT OPTION\n"
    )
    assert parse_grants(text) == {"search_api.*": {"SELECT", "INSERT", "GRANT OPTION"}}
    with pytest.raises(CouldNotLook, match="unknown shape"):
        parse_grants("SET DEFAULT ROLE x")


def test_variables_keep_their_tabs_and_lose_their_case() -> None:
    assert mysql.pairs([["SQL_Mode", "A"], ["init", "a", "b"], ["empty"]]) == {
        "sql_mode": "A",
        "init": "a\tb",
        "empty": "",
    }
    assert mysql.number({"x": "0.5"}, "x") == 0.5
    for settings in ({}, {"x": "ON"}):
        with pytest.raises(CouldNotLook):
            mysql.number(settings, "x")


GOOD = {
    "x-content-type-options": ["nosniff"],
    "x-frame-options": ["DENY"],
    "referrer-policy": ["no-referrer"],
    "content-security-policy": ["default-src 'none'; frame-ancestors 'none'"],
    "permissions-policy": ["camera=(), geolocation=(), microphone=()"],
    "strict-transport-security": ["max-age=63072000; includeSubDomains"],
}


def test_good_headers_have_no_fault() -> None:
    assert security_headers.faults(GOOD, 31_536_000) == []


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("x-content-type-options", []),
        ("x-frame-options", ["DENY", "ALLOWALL"]),
        ("x-frame-options", ["ALLOW-FROM https://a.example"]),
        ("referrer-policy", ["unsafe-url"]),
        ("content-security-policy", ["default-src *; frame-ancestors 'none'"]),
        ("content-security-policy", ["default-src 'self'"]),
        (
            "content-security-policy",
            ["default-src 'self'; script-src 'unsafe-inline'; frame-ancestors 'self'"],
        ),
        ("permissions-policy", ["camera=(), microphone=()"]),
        ("strict-transport-security", ["max-age=0"]),
        ("strict-transport-security", ["includeSubDomains"]),
        ("strict-transport-security", []),
    ],
)
def test_one_weak_header_is_one_fault(name: str, values: list[str]) -> None:
    (fault,) = security_headers.faults({**GOOD, name: values}, 31_536_000)
    assert fault.startswith(name)
