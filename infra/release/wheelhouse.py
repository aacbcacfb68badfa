"""The wheels a release is installed from: locked by hash, for every Python a server may have, kept in a cache.

What they are made of (the SBOM's components) follows from the same lock and is kept beside them.
"""

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.release import process
from infra.release.artifact import hash_of
from infra.release.errors import ReleaseError, WrongUse
from infra.sandbox import locations

PYTHONS = ("3.11", "3.13")  # of Debian bookworm and trixie
DOWNLOAD_SECONDS = 900
SBOM_SECONDS = 180
SEAL = "SHA256SUMS"
SBOM = "sbom.json"
# glibc of the oldest server: bookworm has 2.36. pip does not derive the older tags from a newer one by itself.
GLIBC_TAGS = (
    "manylinux_2_36",
    "manylinux_2_34",
    "manylinux_2_31",
    "manylinux_2_28",
    "manylinux_2_24",
    "manylinux_2_17",
    "manylinux2014",
    "manylinux_2_12",
    "manylinux2010",
    "manylinux_2_5",
    "manylinux1",
)
# pip judges these markers by the Python it runs in, whose patch level is not the server's. A wheel more does no harm:
# the installer on the server decides again.
_PATCH_LEVEL = re.compile(r" ; python_full_version [<>=!]+ '[0-9.]+'(?= \\?$)", re.MULTILINE)


def fill(destination: Path, service_lock: Path, installer_lock: Path) -> dict[str, Any]:
    """Copy all wheels of both locks into `destination`, downloading what the cache does not hold; return the service's
    dependencies as a CycloneDX document.

    Uses this machine's own pip configuration. Raises ReleaseError with the end of pip's output when a wheel
    cannot be had, WrongUse when a lock is missing.
    """
    cached = _cached(service_lock, installer_lock)
    shutil.copytree(cached, destination, ignore=shutil.ignore_patterns(SEAL, SBOM))
    return dict(json.loads((cached / SBOM).read_text(encoding="utf-8")))


def cache_root() -> Path:
    """Where wheels are kept between builds: the sandbox's cache, or the user's own where that is not writable."""
    shared = locations.cache_directory()
    nearest = next(folder for folder in (shared, *shared.parents) if folder.exists())
    if os.access(nearest, os.W_OK):
        return shared / "wheelhouse"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "launchgate" / "wheelhouse"


def _cached(service_lock: Path, installer_lock: Path) -> Path:
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    wanted = root / _key(service_lock, installer_lock)
    with _one_at_a_time(root / "lock"):
        if wanted.is_dir() and _sealed(wanted):
            return wanted
        shutil.rmtree(wanted, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=".filling-", dir=root))
        try:
            for python in PYTHONS:
                _download(service_lock, python, scratch)
            _download(installer_lock, PYTHONS[0], scratch)
            _describe(service_lock, scratch / SBOM)
            _seal(scratch)
            scratch.chmod(0o755)
            scratch.rename(wanted)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return wanted


def _key(*locks: Path) -> str:
    sums = hashlib.sha256()
    for lock in locks:
        if not lock.is_file():
            raise WrongUse(f"{lock}: the lock of dependencies is missing; run `make lock`")
        sums.update(lock.read_bytes())
    sums.update(" ".join([platform.machine(), *PYTHONS, *GLIBC_TAGS, _PATCH_LEVEL.pattern]).encode())
    return sums.hexdigest()[:24]


def _download(lock: Path, python: str, destination: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="launchgate-pip-") as scratch:
        log, wanted = Path(scratch) / "pip.log", Path(scratch) / lock.name
        wanted.write_text(_PATCH_LEVEL.sub("", lock.read_text(encoding="utf-8")), encoding="utf-8")
        tags = [word for tag in GLIBC_TAGS for word in ("--platform", f"{tag}_{platform.machine()}")]
        done = process.run(
            [
                sys.executable,
                "-m",
                "pip",
                "--disable-pip-version-check",
                "download",
                "--quiet",
                "--no-deps",
                "--require-hashes",
                "--only-binary=:all:",
                "--implementation",
                "cp",
                "--python-version",
                python,
                *tags,
                "--requirement",
                str(wanted),
                "--dest",
                str(destination),
            ],
            log=log,
            timeout=DOWNLOAD_SECONDS,
        )
        if done.rc:
            raise ReleaseError(
                f"{lock.name}: wheels for Python {python} cannot be had; pip said:\n{done.tail(6)}"
            )


def _describe(lock: Path, destination: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="launchgate-sbom-") as place:
        done = process.run(
            [sys.executable, "-m", "cyclonedx_py", "requirements", str(lock), "--output-reproducible", "--of", "JSON",
             "-o", str(destination)],
            log=Path(place) / "cyclonedx.log", timeout=SBOM_SECONDS,
        )  # fmt: skip
        if done.rc:
            raise ReleaseError(f"{lock.name}: no SBOM; cyclonedx said:\n{done.tail()}")
    if not json.loads(destination.read_text(encoding="utf-8")).get("components"):
        raise ReleaseError(f"{lock.name}: the SBOM lists no component")


def _seal(directory: Path) -> None:
    (directory / SEAL).write_text(_sums(directory))


def _sealed(directory: Path) -> bool:
    seal = directory / SEAL
    return seal.is_file() and seal.read_text() == _sums(directory)


def _sums(directory: Path) -> str:
    files = sorted(path for path in directory.iterdir() if path.name != SEAL)
    return "".join(f"{hash_of(path)}  {path.name}\n" for path in files)


@contextmanager
def _one_at_a_time(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
