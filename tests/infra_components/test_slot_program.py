"""The program that runs the two slots: it starts, switches and refuses, and may be repeated."""

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import ModuleType

import pytest

from infra.components.rendering import COMPONENTS
from tests.infra_components.conftest import load_program

# systemd's part, as far as the program asks: which units are active, which are enabled.
SYSTEMCTL = """#!/bin/sh
[ "$1" = --quiet ] && shift
echo "$1 $2" >>"$UNITS/log"
case "$1" in
  is-active) [ -e "$UNITS/$2" ] && echo active || echo inactive ;;
  restart) touch "$UNITS/$2"; slot="${2#search-api@}"; "$SLOT_PROGRAM" record "${slot%.service}" ;;
  stop) rm -f "$UNITS/$2" ;;
esac
"""


class Readiness(BaseHTTPRequestHandler):
    """Answers /health/ready with the server's own status."""

    def do_GET(self) -> None:
        status = self.server.status if self.path == "/health/ready" else 404  # type: ignore[attr-defined]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b"{}")

    def address_string(self) -> str:
        return "local"

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program on a machine of its own, with two releases installed."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tmp_path / "units").mkdir()
    for name, text in (("systemctl", SYSTEMCTL), ("journalctl", "#!/bin/sh\necho the end of the log\n")):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setenv("SLOT_PROGRAM", str(COMPONENTS / "app/programs/search-api-slot.py"))
    monkeypatch.setenv("UNITS", str(tmp_path / "units"))
    monkeypatch.setenv("SEARCH_API_HOME", str(tmp_path / "srv"))
    monkeypatch.setenv("SEARCH_API_RUN", str(tmp_path / "run"))
    monkeypatch.setenv("SEARCH_API_ETC", str(tmp_path / "etc"))
    monkeypatch.setenv("SEARCH_API_UNIT_FILE", str(tmp_path / "unit"))
    for release in ("1.0.0-aaa", "1.1.0-bbb"):
        (tmp_path / "srv/releases" / release).mkdir(parents=True)
        (tmp_path / "srv/releases" / release / "manifest.json").write_text("{}")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/search-api.env").write_text("A=1\n")
    module = load_program("app", "search-api-slot.py")
    monkeypatch.setattr(module, "READY_SECONDS", 0.5)
    return module


@pytest.fixture
def serve(program: ModuleType) -> Iterator[Callable[[str, int], None]]:
    """`serve("blue", 200)`: what the slot's process would answer on its socket."""
    servers: dict[str, socketserver.UnixStreamServer] = {}

    def start(slot: str, status: int) -> None:
        if slot not in servers:
            path = program.RUN / slot / "http.sock"
            path.parent.mkdir(parents=True, exist_ok=True)
            servers[slot] = socketserver.UnixStreamServer(str(path), Readiness)
            threading.Thread(target=servers[slot].serve_forever, args=(0.05,), daemon=True).start()
        servers[slot].status = status  # type: ignore[attr-defined]

    yield start
    for server in servers.values():
        server.shutdown()
        server.server_close()


def status(program: ModuleType, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    assert program.main(["status"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def restarts(tmp_path: Path) -> int:
    return (tmp_path / "units/log").read_text().count("restart ")


def test_a_machine_without_releases_has_two_empty_slots(
    program: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = status(program, capsys)
    empty = {"release": "", "version": "", "running": False, "ready": False, "configuration": "outdated"}
    assert seen == {"active": "", "slots": {"blue": empty, "green": empty}}


def test_a_release_is_started_switched_to_and_shown(
    program: ModuleType, serve: Callable[[str, int], None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    serve("blue", 200)
    assert program.main(["start", "blue", "1.0.0-aaa"]) == 0
    assert program.main(["switch", "blue"]) == 0
    seen = status(program, capsys)
    assert seen["active"] == "blue"
    assert seen["slots"]["blue"] == {  # type: ignore[index]
        "release": "1.0.0-aaa",
        "version": "1.0.0",
        "running": True,
        "ready": True,
        "configuration": "current",
    }
    assert (tmp_path / "run/active").readlink() == Path("blue")
    assert (tmp_path / "srv/active").readlink() == Path("blue")


def test_repeating_a_start_restarts_nothing_until_settings_change(
    program: ModuleType, serve: Callable[[str, int], None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    serve("blue", 200)
    for _ in range(3):
        assert program.main(["start", "blue", "1.0.0-aaa"]) == 0
    assert restarts(tmp_path) == 1
    (tmp_path / "etc/search-api.env").write_text("A=2\n")
    assert status(program, capsys)["slots"]["blue"]["configuration"] == "outdated"  # type: ignore[index]
    assert program.main(["start", "blue", "1.0.0-aaa"]) == 0
    assert restarts(tmp_path) == 2
    assert status(program, capsys)["slots"]["blue"]["configuration"] == "current"  # type: ignore[index]


def test_a_slot_that_is_not_ready_is_not_switched_to(
    program: ModuleType, serve: Callable[[str, int], None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    serve("blue", 200)
    serve("green", 503)
    program.main(["start", "blue", "1.0.0-aaa"])
    program.main(["switch", "blue"])
    assert program.main(["start", "green", "1.1.0-bbb"]) == 1
    assert "did not become ready" in capsys.readouterr().err
    assert program.main(["switch", "green"]) == 1
    assert "the end of the log" in capsys.readouterr().err
    assert (tmp_path / "run/active").readlink() == Path("blue")


def test_the_active_slot_is_neither_stopped_nor_given_another_release(
    program: ModuleType, serve: Callable[[str, int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    serve("blue", 200)
    program.main(["start", "blue", "1.0.0-aaa"])
    program.main(["switch", "blue"])
    assert program.main(["stop", "blue"]) == 1
    assert program.main(["start", "blue", "1.1.0-bbb"]) == 1
    assert "start 1.1.0-bbb in the other slot" in capsys.readouterr().err
    assert program.main(["stop", "green"]) == 0


def test_a_release_that_is_not_installed_is_refused(
    program: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["start", "green", "9.9.9-zzz"]) == 1
    assert program.main(["start", "green", "../../etc"]) == 1
    assert "stage it first" in capsys.readouterr().err


def test_a_slot_that_crashed_and_came_back_runs_on_what_it_found_then(
    program: ModuleType, serve: Callable[[str, int], None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    serve("blue", 200)
    program.main(["start", "blue", "1.0.0-aaa"])
    (tmp_path / "etc/search-api.env").write_text("A=3\n")
    assert program.main(["record", "blue"]) == 0  # as its unit does at each start
    assert status(program, capsys)["slots"]["blue"]["configuration"] == "current"  # type: ignore[index]


def test_a_reboot_brings_back_the_link_to_the_active_slot(
    program: ModuleType, serve: Callable[[str, int], None], tmp_path: Path
) -> None:
    assert program.main(["restore"]) == 0
    assert not (tmp_path / "run/active").is_symlink()
    serve("green", 200)
    program.main(["start", "green", "1.0.0-aaa"])
    program.main(["switch", "green"])
    (tmp_path / "run/active").unlink()
    assert program.main(["restore"]) == 0
    assert (tmp_path / "run/active").readlink() == Path("green")


@pytest.mark.parametrize(
    "words", [[], ["start"], ["start", "red", "1"], ["switch"], ["status", "x"], ["explode"]]
)
def test_wrong_use_is_told_how_it_goes(
    program: ModuleType, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(words) == 2
    assert "search-api-slot status" in capsys.readouterr().err
