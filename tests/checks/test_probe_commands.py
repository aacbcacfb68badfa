"""Probes with the programs they call: what a machine prints reaches the reader, and what fails is told."""

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from checks.gate import CommandResult, CouldNotLook, MachineUnderCheck
from checks.gate.transport import _execute
from checks.probes import mysql, nft, nginx, plain_http, redis, server, sockets, sshd, tls

CAPTURED = Path(__file__).parent / "captured"
Install = Callable[..., None]


class WithPrograms:
    """A transport to this computer, where a folder of our own programs comes first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, command: str, *, sudo: bool, timeout_s: float, stdin: str | None) -> CommandResult:  # noqa: ARG002
        argv = ["sh", "-c", f"PATH={self.folder}:$PATH; {command}"]
        return _execute("here", command, argv, timeout_s, stdin)


@pytest.fixture
def machine(tmp_path: Path) -> MachineUnderCheck:
    return MachineUnderCheck("here", "127.0.0.1", ("db",), WithPrograms(tmp_path))


@pytest.fixture
def install(tmp_path: Path) -> Install:
    def program(name: str, script: str = "", *, prints: str = "") -> None:
        (tmp_path / f"{name}.out").write_text(prints)
        (tmp_path / name).write_text(f"#!/bin/sh\n{script or f'cat {tmp_path}/{name}.out'}\n")
        (tmp_path / name).chmod(0o755)

    return program


def test_sockets_are_listed_by_ss(machine: MachineUnderCheck, install: Install) -> None:
    install("ss", prints=(CAPTURED / "ops1.ss.txt").read_text())
    assert [one.port for one in sockets.open_to_others(machine)] == [9100, 22, 22]
    assert str(sockets.listeners(machine)[1]) == "tcp 127.0.0.1:9090 (prometheus)"


def test_no_socket_at_all_is_no_answer(machine: MachineUnderCheck, install: Install) -> None:
    install("ss")
    with pytest.raises(CouldNotLook, match="no socket at all"):
        sockets.listeners(machine)


def test_rules_are_listed_by_nft(machine: MachineUnderCheck, install: Install) -> None:
    install("nft", prints=(CAPTURED / "db1.nft.json").read_text())
    assert nft.ruleset(machine).drops_by_default("input", 6)


def test_the_configuration_is_shown_by_nginx(machine: MachineUnderCheck, install: Install) -> None:
    install("nginx", prints=(CAPTURED / "lb1.nginx.txt").read_text())
    assert len(nginx.configuration(machine).servers()) == 3


def test_a_configuration_that_nginx_refuses_cannot_be_looked_at(
    machine: MachineUnderCheck, install: Install
) -> None:
    install("nginx", "echo 'unknown directive' >&2; echo 'test failed' >&2; exit 1")
    with pytest.raises(CouldNotLook, match="unknown directive"):
        nginx.configuration(machine)


def test_the_database_is_asked_once_for_its_variables(machine: MachineUnderCheck, install: Install) -> None:
    install("mysql", prints="sync_binlog\t1\nsql_mode\tA,B\n")
    assert mysql.variables(machine) == {"sync_binlog": "1", "sql_mode": "A,B"}
    mysql.run(machine, "SELECT 1")


def test_accounts_keep_an_empty_kind_of_tls(machine: MachineUnderCheck, install: Install) -> None:
    install("mysql", prints="root\tlocalhost\t\nsearch_app\t10.0.0.1\tANY\n")
    assert mysql.accounts(machine) == [("root", "localhost", ""), ("search_app", "10.0.0.1", "ANY")]


def test_a_database_that_refuses_is_told(machine: MachineUnderCheck, install: Install) -> None:
    install("mysql", "echo 'ERROR 1045 (28000): Access denied' >&2; exit 1")
    for look in (mysql.variables, mysql.accounts):
        with pytest.raises(CouldNotLook, match="1045"):
            look(machine)
    with pytest.raises(CouldNotLook, match="refused"):
        mysql.run(machine, "SELECT 1")


REDIS = """case "$*" in
PING) echo PONG;; "CONFIG GET *") printf 'port\\n0\\nsave\\n\\n';; INFO) printf '# Server\\r\\nrole:master\\r\\n';;
"ACL LIST") echo 'user default off -@all';;
"ACL DRYRUN app keys x") echo "This user has no permissions to run the 'keys' command";;
"ACL DRYRUN app acl list") echo OK;; *) echo "ERR unknown";; esac"""


def test_redis_answers_its_operator(machine: MachineUnderCheck, install: Install) -> None:
    install("redis-operator", REDIS)
    assert redis.settings(machine) == {"port": "0", "save": ""}
    assert redis.info(machine) == {"role": "master"}
    assert redis.users(machine) == {"default": ("off", "-@all")}
    assert redis.dry_run(machine, "app", ["keys", "acl"]) == ["acl"]
    with pytest.raises(CouldNotLook, match="ERR unknown"):
        redis.dry_run(machine, "app", ["shutdown"])


def test_redis_that_locked_everyone_out_is_a_fault_not_blindness(
    machine: MachineUnderCheck, install: Install
) -> None:
    install("redis-operator", "echo 'DENIED Redis is running in protected mode' >&2; exit 1")
    with pytest.raises(AssertionError, match="protected mode"):
        redis.settings(machine)


def test_redis_that_does_not_answer_cannot_be_looked_at(machine: MachineUnderCheck, install: Install) -> None:
    install("redis-operator", "echo LOADING")
    with pytest.raises(CouldNotLook, match="did not answer"):
        redis.info(machine)


def test_ssh_settings_are_asked_for_every_login(machine: MachineUnderCheck, install: Install) -> None:
    install("sshd", 'echo "user ${3#user=}"; echo "PasswordAuthentication no"')
    found = sshd.effective(machine, [("root", "10.0.0.1"), ("a", "fd00::1")])
    assert found["a", "fd00::1"] == {"user": "a,host=fd00::1,addr=fd00::1", "passwordauthentication": "no"}
    assert list(found) == [("root", "10.0.0.1"), ("a", "fd00::1")]


def test_a_handshake_is_tried_from_a_machine(machine: MachineUnderCheck, install: Install) -> None:
    install("openssl", prints=(CAPTURED / "db1.s_client.txt").read_text())
    looks = [tls.Look("10.222.203.31", 3306, "db1", starttls="mysql")] * 2
    assert [one.verified for one in tls.from_machine(machine, looks)] == [True, True]


def test_this_computer_tries_for_itself() -> None:
    (seen,) = tls.from_here([tls.Look("127.0.0.1", 9, "nobody.example", ca_file=tls.SYSTEM_CA)])
    assert not seen.established


def test_a_machine_writes_again_when_asked(machine: MachineUnderCheck, install: Install) -> None:
    install("dd", "echo '4096 bytes (4.1 kB, 4.0 KiB) copied, 0.002 s, 2.0 MB/s' >&2")
    assert server.sync_writes_again(machine) == (2.0,) * server.SYNC_ROUNDS


class Redirecting(http.server.BaseHTTPRequestHandler):
    """Sends everyone elsewhere."""

    def do_GET(self) -> None:
        self.send_response(301)
        self.send_header("Location", f"https://{self.headers['Host']}{self.path}")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def redirecting() -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", 0), Redirecting) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield listening.server_port
        listening.shutdown()
        thread.join(5)


def test_a_redirect_is_seen_and_not_followed(redirecting: int) -> None:
    answer = plain_http.ask("127.0.0.1", redirecting, "GET", "/a?b=c", host="search.example")
    assert (answer.status, answer.headers["location"]) == (301, "https://search.example/a?b=c")
    assert answer.told() == "301 to https://search.example/a?b=c"


def test_no_answer_is_told_with_its_reason() -> None:
    answer = plain_http.ask("127.0.0.1", 9, "GET", "/", host="search.example")
    assert answer.status == 0
    assert answer.told().startswith("no answer (ConnectionRefusedError")
