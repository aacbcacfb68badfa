import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from conftest import Serve

from loadtests import prober, target
from loadtests.wire import Connection, Lost


def _tally(port: int) -> dict[str, int]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/tally", timeout=5) as answer:
        found: dict[str, int] = json.load(answer)
    return found


def _probed(tmp_path: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    out = tmp_path / "probe" / "summary.json"
    code = prober.main([*arguments, "--clients", "10", "--timeout", "2", "--out", str(out)])
    return code, json.loads(out.read_text())


def test_exactly_what_the_server_dropped_is_lost(serve: Serve, tmp_path: Path) -> None:
    port = serve(fail_every=41, drop_every=29, cut_every=31, reset_every=37)
    url = f"http://127.0.0.1:{port}/x"
    code, summary = _probed(tmp_path, f"GET {url}", f"POST {url}?q=1", "--rate", "200", "--duration", "2")
    tally = _tally(port)
    assert code == 1
    assert summary["sent"] == tally["seen"] == 400
    fates = summary["by_fate"]
    assert fates["http_503"] == tally["failed"] == 9
    assert fates["truncated"] == tally["cut"] == 12
    assert fates.get("closed", 0) + fates.get("reset", 0) == tally["dropped"] + tally["reset"] == 13 + 10
    assert summary["lost"] == sum(count for fate, count in fates.items() if fate != "ok")
    assert summary["ok"] == fates["ok"] == 400 - summary["lost"]
    assert sum(sum(fates.values()) for fates in summary["by_method"].values()) == 400
    assert set(summary["by_method"]) == {"GET", "POST"}
    assert len(summary["lost_requests"]) == summary["lost"]


def test_a_sound_server_loses_nothing(serve: Serve, tmp_path: Path) -> None:
    port = serve()
    code, summary = _probed(tmp_path, f"http://127.0.0.1:{port}/health", "--rate", "100", "--duration", "0.5")
    assert (code, summary["sent"], summary["ok"], summary["lost"]) == (0, 50, 50, 0)
    assert summary["connections_opened"] == 10
    assert summary["versions"]["1.0.0"]["answers"] == 50
    assert 0 < summary["max_gap_ms"] < 500


def test_nobody_listening_is_refused(tmp_path: Path) -> None:
    code, summary = _probed(tmp_path, "http://127.0.0.1:9/", "--rate", "20", "--duration", "0.2")
    assert (code, summary["by_fate"], summary["ok"]) == (1, {"refused": 4}, 0)


def test_an_outage_shows_as_a_gap(serve: Serve, tmp_path: Path) -> None:
    port = serve(drop_every=1)
    healthy, dropping = f"http://127.0.0.1:{port}/health", f"http://127.0.0.1:{port}/x"
    _, summary = _probed(tmp_path, healthy, *[dropping] * 9, "--rate", "50", "--duration", "0.6")
    assert summary["by_fate"]["ok"] == 3
    assert 150 < summary["max_gap_ms"] < 400


def test_tls_and_the_inventory(
    serve_machine: Serve,
    inventory_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Through the public name, but for the port: 443 may belong to someone else on this computer."""
    serve_machine("app1")
    monkeypatch.setattr(target, "public", lambda found: target.machine(found, "app1"))
    code, summary = _probed(tmp_path, str(inventory_file), "--rate", "60", "--duration", "1")
    assert (code, summary["sent"], summary["lost"]) == (0, 60, 0)
    assert summary["by_method"] == {"GET": {"ok": 30}, "POST": {"ok": 30}}


def test_a_certificate_of_another_ca_loses_every_request(serve_machine: Serve, tmp_path: Path) -> None:
    serve_machine("app1")
    code, summary = _probed(tmp_path, "https://127.0.71.11:8443/health", "--rate", "20", "--duration", "0.2")
    assert (code, summary["by_fate"]) == (1, {"tls": 4})


def test_a_signal_ends_it_with_all_accounted_for(serve: Serve, tmp_path: Path) -> None:
    port = serve()
    out = tmp_path / "summary.json"
    command = [
        sys.executable,
        "-m",
        "loadtests.prober",
        f"http://127.0.0.1:{port}/x",
        "--rate",
        "100",
        "--out",
        str(out),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        until = time.monotonic() + 10
        while _tally(port)["seen"] < 20 and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(10) == 0
    summary = json.loads(out.read_text())
    assert summary["sent"] == summary["ok"] == _tally(port)["seen"] >= 20


@pytest.mark.parametrize(
    "arguments",
    [
        ["FETCH http://127.0.0.1/x"],
        ["ftp://127.0.0.1/x"],
        ["no-such-inventory.py"],
        ["http://no-such-name.invalid/"],
        ["one.py", "http://127.0.0.1/"],
    ],
)
def test_wrong_targets_are_usage_errors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert prober.main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["--rate", "0"], ["--duration", "-1"], ["--clients", "0"], ["--timeout", "nan"]]
)
def test_wrong_numbers_are_usage_errors(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        prober.main(["http://127.0.0.1/", *arguments])
    assert left.value.code == 2


def test_headers_and_bodies_come_from_files(serve: Serve, tmp_path: Path) -> None:
    port = serve()
    (tmp_path / "body.json").write_text(json.dumps({"email": "a@example.com", "password": "secret"}))
    (tmp_path / "headers.json").write_text(json.dumps({"X-Note": "1"}))
    files = ["--body", str(tmp_path / "body.json"), "--headers", str(tmp_path / "headers.json")]
    url = f"POST http://127.0.0.1:{port}/api/v1/auth/register"
    code, summary = _probed(tmp_path, url, *files, "--rate", "20", "--duration", "0.2")
    assert (code, summary["ok"]) == (0, 4)
    (tmp_path / "headers.json").write_text("[1]")
    assert prober.main([url, *files]) == 2


# The wire itself, against servers of a few lines.


async def _one_exchange(reply: bytes, method: str = "GET", then_close: bool = True) -> Any:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        if then_close:
            writer.close()
        else:
            await asyncio.sleep(1)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = Connection(target.for_url(f"http://127.0.0.1:{port}"), None)
    try:
        return await connection.exchange(method, "/", {}, None, 0.3)
    finally:
        connection.close()
        server.close()


@pytest.mark.parametrize(
    ("reply", "fate"),
    [
        (b"", "closed"),
        (b"HTTP/1.1 2", "truncated"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "truncated"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "truncated"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "truncated"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "garbled"),
        (b"SSH-2.0-OpenSSH\r\n", "garbled"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "garbled"),
        (b"HTTP/1.1 200 OK\r\n\r\nhow long?", "garbled"),
    ],
)
def test_every_broken_answer_has_its_fate(reply: bytes, fate: str) -> None:
    with pytest.raises(Lost) as lost:
        asyncio.run(_one_exchange(reply))
    assert lost.value.fate == fate


def test_silence_is_a_timeout() -> None:
    with pytest.raises(Lost) as lost:
        asyncio.run(_one_exchange(b"HTTP/1.1 200 OK\r\n", then_close=False))
    assert lost.value.fate == "timeout"


@pytest.mark.parametrize(
    ("reply", "method", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end", "GET", b"to the end"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "GET", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", "HEAD", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "POST", b"ok"),
    ],
)
def test_whole_answers_are_read_in_every_form(reply: bytes, method: str, body: bytes) -> None:
    assert asyncio.run(_one_exchange(reply, method)).body == body


def test_a_connection_closed_while_idle_is_replaced_not_counted_as_lost() -> None:
    async def scene() -> tuple[int, int]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        connection = Connection(
            target.for_url(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"), None
        )
        for _ in range(3):
            await connection.exchange("POST", "/", {}, None, 1)
            await asyncio.sleep(0.05)
        connection.close()
        server.close()
        return connection.opened, connection.closed_while_idle

    assert asyncio.run(scene()) == (3, 2)
