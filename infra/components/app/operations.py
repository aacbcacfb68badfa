"""A release's way onto an app machine: installed, migrated for, started in the inactive slot, switched to."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Generator

from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import OperationError
from pyinfra.api.operation import operation
from pyinfra.context import host, state

from infra.components.app.artifact import Artifact
from infra.components.app.facts import RELEASE_TOOL, SLOT_TOOL, Holdings, InstalledReleases, SlotStatus

HOME = "/srv/search-api"


@operation()
def installed(release: str, artifact: Artifact | None, keep: int) -> Generator[StringCommand, None, None]:
    """Uploads what the machine lacks of the release, checks it there, installs it offline."""
    if release in host.get_fact(InstalledReleases):
        return
    if artifact is None:
        raise OperationError(
            f"release {release} is neither installed here nor built; run `launchgate build` first"
        )
    holdings = host.get_fact(Holdings)
    names = artifact.needed(holdings.get("python", "3.11"), holdings.get("wheels", {}))
    body = artifact.upload(names)
    digest = hashlib.sha256(body.encode()).hexdigest()
    upload = "\n".join(
        [
            "set -eu; umask 077",
            f"mkdir -p -m 755 {HOME} {HOME}/wheels {HOME}/incoming {HOME}/releases {HOME}/slots",
            f"work=$(mktemp -d {HOME}/incoming/.upload.XXXXXXXX); trap 'rm -rf \"$work\"' EXIT",
            'cat >"$work/archive"',
            f'echo "{digest}  $work/archive" | sha256sum --check --status',
            f'base64 -d "$work/archive" | tar -xf - -C {HOME} --no-same-owner --unlink-first',
        ]
    )
    yield StringCommand(upload, _stdin=body)
    yield StringCommand(f"{RELEASE_TOOL} install {shlex.quote(release)} && {RELEASE_TOOL} prune {keep}")


@operation()
def migrated(release: str) -> Generator[StringCommand, None, None]:
    """Expands the schema for the release, unless the release serves already and so finds the schema fit."""
    if host.get_fact(SlotStatus).serving(release):
        return
    unit = shlex.quote(f"search-api-migrate@{release}.service")
    yield StringCommand(
        f"systemctl start {unit} || {{ journalctl --no-pager -q -n 30 -o cat -u {unit} >&2; exit 1; }}"
    )


@operation()
def started(release: str) -> Generator[StringCommand, None, None]:
    """Has the release run, ready, in one slot; the active slot is never touched."""
    slots = host.get_fact(SlotStatus)
    if not slots.serving(release):
        yield StringCommand(f"{SLOT_TOOL} start {slots.inactive} {shlex.quote(release)}")


@operation()
def switched(release: str) -> Generator[StringCommand, None, None]:
    """Moves new connections to the slot that runs the release."""
    slots = host.get_fact(SlotStatus)
    slot = slots.serving(release)
    if not slot and state.is_executing:
        raise OperationError(f"no slot runs release {release}, ready; stage it first")
    # Before the run begins (change detection), an operation ahead of this one may yet start the release.
    if slot != slots.active or not slot:
        yield StringCommand(f"{SLOT_TOOL} switch {slot}")
