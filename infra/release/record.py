"""The record of one release: its directory with plan, journal, timeline, logs, evidence, loads and verdict."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from infra.release.errors import Interrupted
from infra.release.journal import Journal
from infra.release.plan import Step
from infra.release.progress import Progress
from infra.release.redaction import Redaction
from infra.release.timeline import fold


@dataclass
class Running:
    """A step at work: where its log goes, and what its line on the screen will say."""

    log: Path
    detail: str = ""


class Record:
    """Writes down what a release does, as it does it. Everything is on the disk before the next thing happens."""

    def __init__(self, directory: Path, progress: Progress, redaction: Redaction) -> None:
        self.directory = directory
        self.progress = progress
        self._redaction = redaction
        self._count = 0
        directory.mkdir(parents=True, mode=0o700)
        self._journal = Journal(directory / "journal.jsonl", redaction.cleaned_within)

    @classmethod
    def new(cls, releases: Path, name: str, progress: Progress, redaction: Redaction) -> "Record":
        """Open a fresh directory `releases/<UTC stamp>-<name>`."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        directory, extra = releases / f"{stamp}-{name}", 1
        while directory.exists():
            extra += 1
            directory = releases / f"{stamp}-{name}-{extra}"
        return cls(directory, progress, redaction)

    @property
    def register(self) -> Path:
        """Where running children are noted (see process.end_leftovers)."""
        return self.directory / "running"

    def note(self, event: str, **facts: object) -> None:
        """Write an event that is not a step."""
        self._journal.append(event, **facts)
        self._write_timeline()

    @contextmanager
    def step(self, step: Step) -> Iterator[Running]:
        """Record one step from its start to its end, whatever the end, and show it as one line."""
        self._count += 1
        number = self._count
        running = Running(self.directory / "logs" / f"{number:02}-{step.name}.log")
        log = str(running.log.relative_to(self.directory))
        self.note("step begun", id=number, name=step.name, title=step.title, log=log)
        began, outcome = time.monotonic(), "done"
        try:
            with self.progress.working(step.title):
                yield running
        except Interrupted as stop:
            outcome, running.detail = "interrupted", str(stop)
            raise
        except BaseException as error:
            outcome, running.detail = "failed", running.detail or _first_line(error)
            raise
        finally:
            self._redaction.clean(running.log)
            running.detail = self._redaction.cleaned(running.detail)
            self.note("step ended", id=number, outcome=outcome, detail=running.detail)
            self.progress.line(step.title, outcome, time.monotonic() - began, running.detail)

    def keep(self, name: str, body: object) -> Path:
        """Write a JSON document into the record."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self._redaction.cleaned_within(body), indent=1)
        scratch = path.with_name(f".{path.name}.new")
        scratch.write_text(text + "\n", encoding="utf-8")
        scratch.replace(path)
        return path

    def timeline(self) -> dict[str, object]:
        """The timeline so far."""
        return fold(self._journal.read())

    def copy_to(self, out: Path) -> None:
        """Copy the record to `out`, so that its report lies at OUT/report.json and OUT/report.html."""
        if out.resolve() != self.directory.resolve():
            shutil.copytree(self.directory, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns("running"))

    def _write_timeline(self) -> None:
        self.keep("timeline.json", self.timeline())


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
