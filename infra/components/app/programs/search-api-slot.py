#!/usr/bin/python3
"""The two slots of an app machine: shows them, starts a release in one, moves new connections to the other.

    search-api-slot status                 JSON: which slot is active, what each holds, whether it is ready
    search-api-slot start SLOT RELEASE     point the slot at an installed release, start it, wait until it is ready
    search-api-slot switch SLOT            new connections go there from now on; refused when it is not ready
    search-api-slot stop SLOT              refused for the active slot
    search-api-slot restore                at boot: put the link to the active slot back
    search-api-slot record SLOT            from the unit, as it starts: remember what it starts with

Every command may be repeated. Exit: 0 done, 1 refused or failed, 2 wrong use.
"""

import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

SLOTS = ("blue", "green")
HOME = Path(os.environ.get("SEARCH_API_HOME", "/srv/search-api"))
RUN = Path(os.environ.get("SEARCH_API_RUN", "/run/search-api"))
CONFIGURATION = Path(os.environ.get("SEARCH_API_ETC", "/etc/search-api"))
UNIT_FILE = Path(os.environ.get("SEARCH_API_UNIT_FILE", "/etc/systemd/system/search-api@.service"))
READY_SECONDS = 30.0


class Refused(Exception):
    """The command cannot be done; the message says why and what to do."""


def status() -> dict[str, object]:
    """Both slots as they are."""
    return {"active": active(), "slots": {slot: slot_status(slot) for slot in SLOTS}}


def slot_status(slot: str) -> dict[str, object]:
    """One slot; `configuration` is "current" when it was started with the settings that are in place now."""
    release = release_of(slot)
    running = unit("is-active", slot) == "active"
    started_with = (
        (RUN / slot / ".configuration").read_text() if (RUN / slot / ".configuration").is_file() else ""
    )
    return {
        "release": release,
        "version": release.rpartition("-")[0],
        "running": running,
        "ready": running and ready(slot),
        "configuration": "current"
        if running and started_with == f"{configuration()} {release}"
        else "outdated",
    }


def start(slot: str, release: str) -> None:
    """Has the slot run the release. Raises Refused when the release is not installed or does not become ready."""
    place = HOME / "releases" / release
    if "/" in release or not (place / "manifest.json").is_file():
        raise Refused(f"release {release} is not installed below {HOME / 'releases'}; stage it first")
    now = slot_status(slot)
    as_wanted = now["release"] == release and now["configuration"] == "current"
    if not (as_wanted and now["running"]):
        if now["running"] and active() == slot and now["release"] != release:
            raise Refused(
                f"slot {slot} is active and runs {now['release']}; start {release} in the other slot"
            )
        link(HOME / "slots" / slot, str(place))
        systemctl("enable", slot)
        systemctl("restart", slot)
    wait_ready(slot)


def switch(slot: str) -> None:
    """Moves new connections to the slot."""
    if not ready(slot):
        raise Refused(f"slot {slot} is not ready: {journal(slot)}")
    # What a reboot finds comes second: a crash between the two goes back to what served before.
    link(RUN / "active", slot)
    link(HOME / "active", slot)


def stop(slot: str) -> None:
    """Stops the slot and keeps it from starting at boot."""
    if active() == slot:
        raise Refused(f"slot {slot} is active; switch to the other one first")
    systemctl("disable", slot)
    systemctl("stop", slot)


def restore() -> None:
    """Puts back the link that a reboot has wiped out."""
    if (HOME / "active").is_symlink():
        RUN.mkdir(mode=0o755, exist_ok=True)
        link(RUN / "active", str((HOME / "active").readlink()))


def record(slot: str) -> None:
    """Remembers which release and settings the slot starts with, so that `status` can tell when they are outdated."""
    (RUN / slot).mkdir(mode=0o755, parents=True, exist_ok=True)
    (RUN / slot / ".configuration").write_text(f"{configuration()} {release_of(slot)}")


def active() -> str:
    """The active slot, or an empty text."""
    for place in (RUN / "active", HOME / "active"):
        with contextlib.suppress(OSError):
            return str(place.readlink())
    return ""


def release_of(slot: str) -> str:
    """The name of the release that the slot points at, or an empty text."""
    try:
        return (HOME / "slots" / slot).readlink().name
    except OSError:
        return ""


def configuration() -> str:
    """A digest of everything that a slot reads when it starts, except the release itself."""
    digest = hashlib.sha256()
    for path in [
        UNIT_FILE,
        CONFIGURATION / "search-api.env",
        *sorted((CONFIGURATION / "credentials").glob("*")),
    ]:
        digest.update(str(path).encode() + b"\0" + (path.read_bytes() if path.is_file() else b"") + b"\0")
    return digest.hexdigest()


class SocketConnection(http.client.HTTPConnection):
    """HTTP over a slot's socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=5)
        self.path = path

    def connect(self) -> None:
        """Connects."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def answer(slot: str) -> tuple[int, str]:
    """Status and body of the slot's readiness page; status 0 when it does not answer."""
    connection = SocketConnection(RUN / slot / "http.sock")
    try:
        connection.request("GET", "/health/ready")
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, f"{type(error).__name__}: {error}"
    finally:
        connection.close()


def ready(slot: str) -> bool:
    """Whether the slot says that it is ready."""
    return answer(slot)[0] == 200


def wait_ready(slot: str) -> None:
    """Waits until the slot is ready. Raises Refused after 30 s, or as soon as its process gives up."""
    deadline = time.monotonic() + READY_SECONDS
    code, body = 0, ""
    while time.monotonic() < deadline:
        code, body = answer(slot)
        if code == 200:
            return
        if unit("is-active", slot) == "failed":
            break
        time.sleep(0.1)
    said = f"/health/ready says {code}: {body[:500]}" if code else body
    raise Refused(f"slot {slot} did not become ready within {READY_SECONDS:.0f} s ({said}): {journal(slot)}")


def journal(slot: str) -> str:
    """The unit's last words."""
    done = subprocess.run(
        ["journalctl", "--no-pager", "-q", "-n", "15", "-o", "cat", "-u", f"search-api@{slot}.service"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=20, check=False,
    )  # fmt: skip
    return "its log ends: " + done.stdout.strip()[-2000:] if done.stdout.strip() else "its log is empty"


def unit(verb: str, slot: str) -> str:
    """What systemctl prints for the slot's unit."""
    done = subprocess.run(
        ["systemctl", verb, f"search-api@{slot}.service"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=20, check=False,
    )  # fmt: skip
    return done.stdout.strip()


def systemctl(verb: str, slot: str) -> None:
    """Runs systemctl on the slot's unit. Raises Refused with its own words."""
    done = subprocess.run(
        ["systemctl", "--quiet", verb, f"search-api@{slot}.service"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=90, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Refused(f"systemctl {verb} search-api@{slot}: {done.stderr.strip()}; {journal(slot)}")


def link(path: Path, destination: str) -> None:
    """Makes a symbolic link, or renames a new one over the old: there is no moment without it."""
    with contextlib.suppress(OSError):
        if str(path.readlink()) == destination:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    new.symlink_to(destination)
    new.replace(path)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One command at a time; a second waits."""
    RUN.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (RUN / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(words: list[str]) -> int:
    """Runs one command."""
    verb, arguments = (words[0] if words else ""), words[1:]
    if verb == "status" and not arguments:
        sys.stdout.write(json.dumps(status()) + "\n")
        return 0
    commands: dict[str, tuple[Callable[..., None], int]] = {
        "start": (start, 2),
        "switch": (switch, 1),
        "stop": (stop, 1),
        "restore": (restore, 0),
        "record": (record, 1),
    }
    wrong_slot = bool(arguments) and arguments[0] not in SLOTS
    if verb not in commands or commands[verb][1] != len(arguments) or wrong_slot:
        sys.stderr.write(__doc__ or "")
        return 2
    try:
        if verb == "record":  # `start` waits for the unit and holds the lock
            record(*arguments)
            return 0
        with alone():
            commands[verb][0](*arguments)
    except Refused as refusal:
        sys.stderr.write(f"search-api-slot: {refusal}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
