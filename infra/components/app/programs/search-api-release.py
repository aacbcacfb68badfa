#!/usr/bin/python3
"""Installs releases from what was uploaded, offline, after checking every file against the manifest.

    search-api-release holdings            JSON: Python, installed releases, SHA-256 of the wheels that are here
    search-api-release install RELEASE     from incoming/RELEASE/ and wheels/ into releases/RELEASE/
    search-api-release prune KEEP          removes the oldest releases that no slot points at

A release appears whole or not at all. Exit: 0 done, 1 refused or failed, 2 wrong use.
"""

import fcntl
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

HOME = Path(os.environ.get("SEARCH_API_HOME", "/srv/search-api"))
INSTALL_SECONDS = 300


class Refused(Exception):
    """The command cannot be done; the message says why and what to do."""


def holdings() -> dict[str, object]:
    """What is here."""
    wheels = {path.name: digest(path) for path in sorted((HOME / "wheels").glob("*.whl"))}
    return {"python": python(), "releases": releases(), "wheels": wheels}


def install(release: str) -> None:
    """Installs a release that has been uploaded. Raises Refused; nothing is left half-installed."""
    place = HOME / "releases" / release
    if (place / "manifest.json").is_file():
        return
    incoming = HOME / "incoming" / release
    manifest = checked_manifest(incoming, release)
    wheels = checked_wheels(incoming, manifest["files"])
    new = HOME / "releases" / f".new-{release}"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True, mode=0o755)
    locked = digest(incoming / "requirements.txt")
    uv = installer(wheels)
    (new / "requirements.sha256").write_text(locked)
    twin = next((old for old in release_places() if is_twin(old, locked)), None)
    if twin is None:
        run(
            uv,
            "venv",
            "--offline",
            "--relocatable",
            "--no-project",
            "--python",
            sys.executable,
            str(new / "venv"),
        )
        run(
            *(
                uv,
                "pip",
                "install",
                "--offline",
                "--no-index",
                "--require-hashes",
                "--no-deps",
                "--compile-bytecode",
            ),
            *("--python", str(new / "venv/bin/python"), "--find-links", str(HOME / "wheels")),
            *("--requirement", str(incoming / "requirements.txt")),
        )
    else:
        # The same locked dependencies: their files are shared with the release that has them already.
        subprocess.run(
            ["cp", "-al", str(twin / "venv"), str(new / "venv")], check=True, timeout=INSTALL_SECONDS
        )
    service = next(path for path in incoming.glob("search_api-*.whl"))
    run(
        *(uv, "pip", "install", "--offline", "--no-index", "--no-deps", "--reinstall", "--compile-bytecode"),
        *("--python", str(new / "venv/bin/python"), str(service)),
    )
    shutil.copyfile(incoming / "manifest.json", new / "manifest.json")
    (new / "manifest.json").chmod(0o644)
    new.rename(place)
    shutil.rmtree(incoming, ignore_errors=True)


def checked_manifest(incoming: Path, release: str) -> dict[str, dict[str, str]]:
    """The manifest, when it is that of the release. Raises Refused."""
    try:
        manifest = json.loads((incoming / "manifest.json").read_text())
        files = manifest["files"]
        lines = "".join(f"{files[name]}  {name}\n" for name in sorted(files))
        name = f"{manifest['version']}-{manifest['digest'][:12]}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(
            f"{incoming}/manifest.json cannot be used ({error!r}); upload the release again"
        ) from error
    if hashlib.sha256(lines.encode()).hexdigest() != manifest["digest"] or name != release:
        raise Refused(
            f"{incoming}/manifest.json is not that of {release}; build and upload the release again"
        )
    for name in ["requirements.txt", *(name for name in files if "/" not in name and name.endswith(".whl"))]:
        if not (incoming / name).is_file() or digest(incoming / name) != files.get(name):
            raise Refused(f"{incoming / name} is corrupt or missing; upload the release again")
    return dict(manifest)


def checked_wheels(incoming: Path, files: dict[str, str]) -> dict[str, Path]:
    """The dependencies' wheels that are here, each as the manifest says. Raises Refused."""
    found = {}
    for name, expected in files.items():
        if not name.startswith("wheelhouse/"):
            continue
        wheel = HOME / "wheels" / Path(name).name
        if wheel.is_file():
            if digest(wheel) != expected:
                wheel.unlink()
                raise Refused(f"{wheel} was corrupt and is removed; upload the release again")
            found[wheel.name] = wheel
    if not found:
        raise Refused(f"no wheel of {incoming.name} is below {HOME / 'wheels'}; upload the release again")
    return found


def installer(wheels: dict[str, Path]) -> str:
    """The path of uv, unpacked from its own wheel. Raises Refused when the release brings none."""
    wheel = next((path for name, path in wheels.items() if name.startswith("uv-")), None)
    if wheel is None:
        raise Refused("the release brings no uv wheel to install with; build it again")
    tool = HOME / "tools" / wheel.stem / "uv"
    if not tool.is_file():
        tool.parent.mkdir(parents=True, exist_ok=True)
        new = tool.with_name(f".uv.{os.getpid()}")
        with zipfile.ZipFile(wheel) as archive:
            member = next(name for name in archive.namelist() if name.endswith("/scripts/uv"))
            new.write_bytes(archive.read(member))
        new.chmod(0o755)
        new.replace(tool)
    return str(tool)


def is_twin(place: Path, locked: str) -> bool:
    """Whether a release has the same locked dependencies and an interpreter that still works."""
    recorded = place / "requirements.sha256"
    return recorded.is_file() and recorded.read_text() == locked and (place / "venv/bin/python").exists()


def prune(keep: int) -> None:
    """Removes all but the `keep` newest releases and those that a slot points at."""
    held = {path.readlink().name for path in (HOME / "slots").glob("*") if path.is_symlink()}
    for place in release_places()[keep:]:
        if place.name not in held:
            doomed = place.with_name(f".old-{place.name}")
            place.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
    uploads = [path for path in (HOME / "incoming").iterdir() if path.is_dir()]
    for left in [*(HOME / "releases").glob(".old-*"), *(HOME / "releases").glob(".new-*"), *uploads]:
        shutil.rmtree(left, ignore_errors=True)


def release_places() -> list[Path]:
    """Installed releases, newest first."""
    found = [path.parent for path in (HOME / "releases").glob("[!.]*/manifest.json")]
    return sorted(found, key=lambda path: path.stat()[stat.ST_MTIME], reverse=True)


def releases() -> list[str]:
    """Their names."""
    return [place.name for place in release_places()]


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def python() -> str:
    """The interpreter's version, such as 3.11."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def run(*command: str) -> None:
    """Runs the installer. Raises Refused with its own words."""
    environment = {
        **os.environ,
        "UV_CACHE_DIR": str(HOME / "tools" / "cache"),
        "UV_NO_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
    }
    done = subprocess.run(
        list(command), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=INSTALL_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Refused(f"{' '.join(command[1:3])} failed: {done.stdout.strip()[-2000:]}")


def main(words: list[str]) -> int:
    """Runs one command."""
    os.umask(0o022)
    if words == ["holdings"]:
        sys.stdout.write(json.dumps(holdings()) + "\n")
        return 0
    wrong = len(words) != 2 or words[0] not in ("install", "prune") or "/" in words[1]
    if wrong or (words[0] == "prune" and not words[1].isdigit()):
        sys.stderr.write(__doc__ or "")
        return 2
    try:
        HOME.mkdir(mode=0o755, parents=True, exist_ok=True)
        with (HOME / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if words[0] == "install":
                install(words[1])
            else:
                prune(int(words[1]))
    except Refused as refusal:
        sys.stderr.write(f"search-api-release: {refusal}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
