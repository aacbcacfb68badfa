"""Writes a set of files in one round trip: each atomic, all validated together and undone together.

Contents travel on standard input into a directory that only root can read: secrets show in no argument
list, no `--diff`, no log and no world-readable temporary file.
"""

from __future__ import annotations

import base64
import hashlib
import io
import shlex
import tarfile
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pyinfra.api.command import StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation
from pyinfra.context import host

STAGING = "/var/lib/launchgate"


@dataclass(frozen=True)
class File:
    """A file as it is wanted. `owner` is "user" or "user:group"; `mode` is octal text such as "644"."""

    path: str
    content: bytes | str = field(repr=False)
    mode: str = "644"
    owner: str = "root:root"

    @property
    def body(self) -> bytes:
        """The content as bytes."""
        return self.content.encode() if isinstance(self.content, str) else self.content

    @property
    def state(self) -> str:
        """What the fact reports when the file is as wanted."""
        user, _, group = self.owner.partition(":")
        return f"{int(self.mode, 8):o} {user}:{group or user} {hashlib.sha256(self.body).hexdigest()}"


@dataclass(frozen=True)
class Folder:
    """A directory as it is wanted."""

    path: str
    mode: str = "755"
    owner: str = "root:root"

    @property
    def state(self) -> str:
        """What the fact reports when the directory is as wanted."""
        user, _, group = self.owner.partition(":")
        return f"{int(self.mode, 8):o} {user}:{group or user} directory"


@dataclass(frozen=True)
class Absent:
    """A file that must not be there."""

    path: str
    state: str = "absent"


Wanted = File | Folder | Absent


class FileStates(FactBase[dict[str, str]]):
    """Mode, owner and SHA-256 of each path, or "absent", in one command."""

    @staticmethod
    def default() -> dict[str, str]:
        """Nothing is known."""
        return {}

    def command(self, paths: list[str]) -> str:
        """A loop that prints path, tab, state."""
        return (
            f"for p in {' '.join(shlex.quote(path) for path in paths)}; do "
            'if [ -L "$p" ]; then s=link; elif [ -d "$p" ]; then s="$(stat -c "%a %U:%G" "$p") directory"; '
            'elif [ -e "$p" ]; then s="$(stat -c "%a %U:%G" "$p") $(sha256sum <"$p" | cut -c1-64)"; '
            'else s=absent; fi; printf \'%s\\t%s\\n\' "$p" "$s"; done'
        )

    def process(self, output: list[str]) -> dict[str, str]:
        """Path to state."""
        return dict(line.split("\t", 1) for line in output if "\t" in line)


@operation()
def present(wanted: list[Wanted], validate: str | None = None) -> Generator[StringCommand, None, None]:
    """Makes every path as wanted.

    `validate` is a shell command that judges the whole set once it is in place; when it fails, every file
    is put back as it was and the operation fails with the command's own words.
    """
    states = host.get_fact(FileStates, [item.path for item in wanted])
    wrong = [item for item in wanted if states.get(item.path) != item.state]
    if wrong:
        yield writing(wrong, validate)


def writing(wrong: Iterable[Wanted], validate: str | None = None) -> StringCommand:
    """The command, with its standard input, that brings these paths about."""
    items = list(wrong)
    archive = base64.encodebytes(_archive(items)).decode()
    digest = hashlib.sha256(archive.encode()).hexdigest()
    script = "\n".join(
        [
            "set -eu; umask 077",
            f"mkdir -p {STAGING}; work=$(mktemp -d {STAGING}/files.XXXXXXXX); trap 'rm -rf \"$work\"' EXIT",
            'cat >"$work/archive"',
            # A connection that dies halfway must not leave half a set behind.
            f'echo "{digest}  $work/archive" | sha256sum --check --status',
            'mkdir "$work/new" "$work/old"; base64 -d "$work/archive" | tar -xpf - -C "$work/new"',
            *(_step(number, item) for number, item in enumerate(items)),
            *([_judgement(items, validate)] if validate else []),
        ]
    )
    return StringCommand(script, _stdin=archive)


def _archive(items: Iterable[Wanted]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number, item in enumerate(items):
            if isinstance(item, File):
                member = tarfile.TarInfo(str(number))
                member.size = len(item.body)
                member.mode = int(item.mode, 8)
                archive.addfile(member, io.BytesIO(item.body))
    return buffer.getvalue()


def _step(number: int, item: Wanted) -> str:
    path = shlex.quote(item.path)
    if isinstance(item, Absent):
        return f'[ ! -e {path} ] || mv {path} "$work/old/{number}"'
    if isinstance(item, Folder):
        return f"mkdir -p {path}; chmod {item.mode} {path}; chown {item.owner.replace(' ', '')} {path}"
    parent = shlex.quote(str(Path(item.path).parent))
    owner = item.owner if ":" in item.owner else f"{item.owner}:{item.owner}"
    return (
        f"[ -d {parent} ] || (umask 022; mkdir -p {parent}); "
        f'[ ! -e {path} ] || cp -a {path} "$work/old/{number}"; '
        f'chown {owner} "$work/new/{number}"; chmod {item.mode} "$work/new/{number}"; '
        # Across file systems mv copies, so the last step is always a rename beside the target.
        f'mv -f "$work/new/{number}" {path}.launchgate-new; mv -fT {path}.launchgate-new {path}'
    )


def _judgement(items: Iterable[Wanted], validate: str) -> str:
    undo = "; ".join(
        f'if [ -e "$work/old/{number}" ]; then cp -a "$work/old/{number}" {path}.launchgate-old && '
        f"mv -fT {path}.launchgate-old {path}; else rm -f {path}; fi"
        for number, item in enumerate(items)
        if not isinstance(item, Folder)
        for path in [shlex.quote(item.path)]
    )
    return f"if ! ( {validate} ) >&2; then {undo or ':'}; echo 'refused: the files are as they were' >&2; exit 1; fi"
