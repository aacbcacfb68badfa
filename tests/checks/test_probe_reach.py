"""Connections really tried, and judged by the map of flows."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks.gate import CommandResult, CouldNotLook, MachineUnderCheck
from checks.probes import reach
from checks.probes.clear_text import redis_in_clear
from checks.probes.flow_matrix import HERE, OUTSIDERS, UNUSED_PORT, Attempt, Matrix, allowed
from inventories.schema import Inventory, load_inventory

INVENTORIES = Path(__file__).resolve().parents[2] / "inventories"


class ThisComputer:
    """The transport of a machine that is this computer."""

    def run(self, command: str, *, sudo: bool, timeout_s: float, stdin: str | None) -> CommandResult:  # noqa: ARG002
        done = subprocess.run(
            ["sh", "-c", command],
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return CommandResult(command, done.returncode, done.stdout, done.stderr)


@pytest.fixture
def here() -> MachineUnderCheck:
    return MachineUnderCheck("here", "127.0.0.1", ("app",), ThisComputer())


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_machine_tells_open_from_refused(here: MachineUnderCheck, listening: int, closed: int) -> None:
    targets = [("127.0.0.1", listening), ("127.0.0.1", closed)]
    found = reach.from_machine(here, targets, wanted_open=targets[:1])
    assert found == {targets[0]: reach.Answer.OPEN, targets[1]: reach.Answer.REFUSED}


def test_a_full_backlog_is_silence_not_an_answer(here: MachineUnderCheck) -> None:
    # A listener whose queue is full drops further connections without a word, as a firewall does.
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        where = server.getsockname()
        held = [socket.socket() for _ in range(4)]
        for one in held:
            one.setblocking(False)
            one.connect_ex(where)
        found = reach.from_machine(here, [where])
        for one in held:
            one.close()
    assert found == {where: reach.Answer.SILENT}


def test_nothing_asked_costs_nothing(here: MachineUnderCheck) -> None:
    assert reach.from_machine(here, []) == {}


def test_what_a_server_says_in_clear_is_read(here: MachineUnderCheck, closed: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(64)
                connection.sendall(b"+PONG\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert redis_in_clear(here, "127.0.0.1", port) == "+PONG"
        thread.join(5)
    with pytest.raises(CouldNotLook, match="no connection"):
        redis_in_clear(here, "127.0.0.1", closed)


@pytest.fixture
def staging() -> Inventory:
    return load_inventory(INVENTORIES / "staging.py")


@pytest.mark.parametrize(
    ("target", "source", "port", "holds"),
    [
        ("stg-db1", "stg-app1", 3306, True),
        ("stg-db1", "stg-lb1", 3306, False),
        ("stg-db1", "stg-app1", 6379, False),
        ("stg-cache1", "stg-app2", 6379, True),
        ("stg-app1", "stg-lb1", 8443, True),
        ("stg-app1", "stg-cache1", 8443, False),
        ("stg-lb1", "stg-cache1", 443, True),
        ("stg-lb1", "stg-cache1", 22, False),
    ],
)
def test_the_map_of_flows_decides(
    staging: Inventory, target: str, source: str, port: int, holds: bool
) -> None:
    assert allowed(staging, staging.machine(target), staging.machine(source).address, port) is holds


def test_strangers_get_the_public_ports_and_nothing_else(staging: Inventory) -> None:
    open_to = {
        (machine.name, port)
        for machine in staging.machines
        for port in (22, 80, 443, 3306, 6379, 8443, 9100, UNUSED_PORT)
        for stranger in OUTSIDERS
        if allowed(staging, machine, stranger, port)
    }
    assert open_to == {("stg-lb1", 80), ("stg-lb1", 443)}


@pytest.mark.parametrize(
    ("answer", "declared", "fault"),
    [
        (reach.Answer.OPEN, True, ""),
        (reach.Answer.SILENT, False, ""),
        (reach.Answer.SILENT, True, "although declared"),
        (reach.Answer.REFUSED, True, "although declared"),
        (reach.Answer.OPEN, False, "although not declared"),
        (reach.Answer.REFUSED, False, "although not declared"),
    ],
)
def test_both_a_closed_and_an_open_port_can_be_wrong(
    answer: reach.Answer, declared: bool, fault: str
) -> None:
    told = Attempt("a", "10.0.0.1", 22, answer, declared).fault
    assert told.endswith(fault) if fault else told == ""


def test_a_matrix_is_asked_by_machine_and_port(staging: Inventory) -> None:
    machine = staging.machine("stg-db1")
    matrix = Matrix(
        (
            Attempt("stg-app1", machine.address, 3306, reach.Answer.OPEN, True),
            Attempt(HERE, machine.address, 3306, reach.Answer.OPEN, False),
            Attempt(HERE, machine.address, 22, reach.Answer.SILENT, True),
            Attempt(HERE, "192.0.2.99", 22, reach.Answer.OPEN, False),
        )
    )
    assert matrix.count(machine.address) == 3
    assert matrix.sources(machine, 3306) == ["stg-app1", HERE]
    assert matrix.faults(machine, 3306) == [f"{HERE} to 3306: open, although not declared"]
    assert len(matrix.faults(machine)) == 2
