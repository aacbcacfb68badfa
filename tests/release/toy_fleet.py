"""A toy fleet: directories for hosts, real shells, a real lock and state, small scripts where the tools would be."""

import io
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from infra.release.artifact import digest_of, hashes_below
from infra.release.fleet import Fleet, Member
from infra.release.order import Order
from infra.release.progress import Progress
from infra.release.slots import AppHost
from infra.release.source import Source, git
from infra.release.tools import Tools
from infra.release.transport import LocalShell
from infra.release.verdict import Buying

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Toy:
    """The toy in one directory; the same directory gives the same toy again, in another process too."""

    directory: Path

    @classmethod
    def made_in(cls, directory: Path) -> "Toy":
        toy = cls(directory)
        for name in ("app1", "app2", "ops1", "say", "state/evidence", "tools", "dist", "source/service"):
            (directory / name).mkdir(parents=True)
        for script, place in (("slot_tool.sh", "slot-tool"), ("tools.sh", "python")):
            (directory / "tools" / place).write_text((HERE / script).read_text())
            (directory / "tools" / place).chmod(0o755)
        (directory / "source" / "service" / "app.py").write_text("print('toy')\n")
        git(directory / "source", "init", "--quiet")
        git(directory / "source", "add", ".")
        git(
            directory / "source",
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "commit",
            "--quiet",
            "--message",
            "toy",
        )
        tree = Source.of(directory / "source").tree
        (directory / "tree").write_text(tree)
        (directory / "state" / "evidence" / f"{tree}.json").write_text("{}")
        return toy

    @property
    def tree(self) -> str:
        return (self.directory / "tree").read_text()

    @property
    def fleet(self) -> Fleet:
        shells = [LocalShell(name, self.directory / name) for name in ("app1", "app2", "ops1")]
        return Fleet(
            inventory_path=self.directory / "toy.py",
            environment="sandbox",
            members=tuple(Member(shell, ()) for shell in shells),
            app_hosts=tuple(
                AppHost(shell, str(self.directory / "tools" / "slot-tool")) for shell in shells[:2]
            ),
            keeper=shells[2],
            state_dir=self.directory / "state",
            url="https://toy.internal",
            directory=str(self.directory / "ops1" / "release"),
        )

    @property
    def tools(self) -> Tools:
        os.environ["TOY"] = str(self.directory)
        python = str(self.directory / "tools" / "python")
        return Tools(self.directory / "toy.py", root=self.directory, python=python)

    def order(self, version: str, **wishes: object) -> Order:
        return Order(
            source=self.directory / "source",
            dist=self.directory / "dist",
            version=version,
            buying=Buying(2, 2, 2),
            **wishes,  # type: ignore[arg-type]
        )

    def build(self, version: str) -> str:
        """An artifact of one file; returns the name it is installed under."""
        place = self.directory / "dist" / version
        place.mkdir()
        (place / "wheel").write_text(version)
        (place / "sbom.json").write_text("{}")
        files = hashes_below(place)
        body = {
            "schema": 1,
            "version": version,
            "commit": "c0ffee",
            "tree": self.tree,
            "digest": digest_of(files),
            "files": files,
        }
        (place / "manifest.json").write_text(json.dumps(body, indent=1))
        return f"{version}-{digest_of(files)[:12]}"

    def say(self, tool: str, *codes: int) -> None:
        """What a tool shall exit with, call by call; the last code stays."""
        (self.directory / "say" / tool).write_text("".join(f"{code}\n" for code in codes))

    def serving(self) -> list[str | None]:
        return [host.status().release for host in self.fleet.app_hosts]

    def calls(self) -> list[str]:
        path = self.directory / "calls"
        return path.read_text().splitlines() if path.is_file() else []

    def record(self) -> Path:
        """The newest release record."""
        return max((self.directory / "state" / "releases").iterdir(), key=lambda path: path.stat().st_mtime)


def progress() -> Progress:
    """Progress that is recorded instead of shown."""
    return Progress(Console(record=True, width=160, file=io.StringIO(), highlight=False))


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory in memory where there is one: the toy writes everything through to the disk, as it must."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="toy-", dir=memory if os.access(memory, os.W_OK) else None
    ) as place:
        yield Path(place)
