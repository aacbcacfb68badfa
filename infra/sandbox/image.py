"""The image every machine starts from: minimal Debian, systemd, sshd, an admin user with sudo. Nothing else."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from infra.sandbox import locations, package_cache, package_sources
from infra.sandbox.computer import run
from infra.sandbox.errors import SandboxError
from infra.sandbox.processes import boot_id, start_ticks

PACKAGES = (
    *("systemd", "systemd-sysv", "openssh-server", "sudo", "iproute2", "ca-certificates"),
    *("dbus", "apt-utils", "python3-minimal", "procps", "kmod", "netbase"),
)
ADMIN_USER = "admin"
# What an operator at a provider would get: one user with a key and sudo, no password anywhere, no root login.
_CUSTOMISE = f"""
set -e
root="$1"
chroot "$root" useradd --create-home --shell /bin/bash {ADMIN_USER}
printf '{ADMIN_USER} ALL=(ALL) NOPASSWD:ALL\\n' > "$root/etc/sudoers.d/90-{ADMIN_USER}"
chmod 0440 "$root/etc/sudoers.d/90-{ADMIN_USER}"
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/machine-id" "$root/var/lib/dbus/machine-id" "$root/etc/hostname"
printf 'uninitialized\\n' > "$root/etc/machine-id"
chroot "$root" systemctl enable systemd-networkd.service ssh.service
chroot "$root" systemctl mask systemd-networkd-wait-online.service console-getty.service
chroot "$root" systemctl disable e2scrub_all.timer e2scrub_reap.service 2>/dev/null || true
"""
_UNSTABLE_PIN = "Package: *\nPin: release a=unstable\nPin-Priority: 50\n"
_EXPIRED_ARCHIVES = 'Acquire::Check-Valid-Until "false";\nAcquire::Check-Date "false";\n'
_BUILD_SECONDS = 900


def ensure(suite: str, database: str, say: Callable[[str], None]) -> Path:
    """Return the image's directory, building it first where it is missing.

    Args:
        suite: the distribution's suite.
        database: `mysql` adds the unstable suite at a low priority, for MySQL's server lives only there.
        say: told what takes long.

    Raises:
        SandboxError: unknown suite, or the build failed.
    """
    sources = package_sources.read()
    lines = sources.lines(suite, unstable=database == "mysql")
    image = (
        locations.cache_directory()
        / "images"
        / f"{suite}-{database}-{_digest(lines, sources.check_valid_until)}"
    )
    if image.exists():
        return image
    say(f"building the {suite} image (once)")
    started = time.monotonic()
    _sweep(image.parent)
    building = image.with_name(
        f"{image.name}.building.{os.getpid()}.{start_ticks(os.getpid())}.{boot_id()[:8]}"
    )
    building.mkdir(parents=True)
    try:
        _build(building / "root", suite, lines, check_valid_until=sources.check_valid_until)
        _finish(
            building / "root",
            lines,
            pin_unstable=database == "mysql",
            check_valid_until=sources.check_valid_until,
        )
        building.rename(image)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        if not image.exists():  # another process may have been quicker
            raise
    say(f"image built in {time.monotonic() - started:.0f} s")
    return image


def root(image: Path) -> Path:
    """Directory of the image's file system."""
    return image / "root"


def _digest(lines: list[str], check_valid_until: bool) -> str:
    archives = "" if check_valid_until else _EXPIRED_ARCHIVES
    recipe = "\n".join([*PACKAGES, _CUSTOMISE, _UNSTABLE_PIN, archives, *lines])
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def _build(target: Path, suite: str, lines: list[str], *, check_valid_until: bool) -> None:
    proxy = f"http://127.0.0.1:{package_cache.ensure_up()}"
    script = target.with_name("customise.sh")
    script.write_text(_CUSTOMISE)
    command = [
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--quiet"),
        f'--aptopt=Acquire::http::Proxy "{proxy}"',
        *([] if check_valid_until else ['--aptopt=Acquire::Check-Valid-Until "false"']),
        "--dpkgopt=force-unsafe-io",
        "--skip=cleanup/apt/lists",
        f"--include={','.join(PACKAGES)}",
        f'--customize-hook=sh {script} "$1"',
        suite,
        str(target),
        *[line for line in lines if " unstable " not in line],
    ]
    run(command, timeout=_BUILD_SECONDS)


def _finish(target: Path, lines: list[str], *, pin_unstable: bool, check_valid_until: bool) -> None:
    apt = target / "etc/apt"
    (apt / "sources.list").write_text("\n".join(lines) + "\n")
    for left in ("99mmdebstrap", "00mmdebstrap"):
        (apt / "apt.conf.d" / left).unlink(missing_ok=True)
    if not check_valid_until:  # this computer's archives are kept as of a past day, and it accepts that
        (apt / "apt.conf.d/02valid-until").write_text(_EXPIRED_ARCHIVES)
    if pin_unstable:
        (apt / "preferences.d/unstable").write_text(_UNSTABLE_PIN)
    # A lost power cut costs a sandbox nothing; without it every package install waits for the disk.
    (target / "etc/dpkg/dpkg.cfg.d/sandbox").write_text("force-unsafe-io\n")
    if not (target / "usr/sbin/sshd").exists():
        raise SandboxError("the image was built without sshd: remove it and try again")


def _sweep(images: Path) -> None:
    """Remove what killed builds left behind; a build that still runs is left alone."""
    for left in images.glob("*.building.*"):
        pid, started, boot = left.name.split(".")[-3:]
        if boot != boot_id()[:8] or str(start_ticks(int(pid))) != started:
            shutil.rmtree(left, ignore_errors=True)
