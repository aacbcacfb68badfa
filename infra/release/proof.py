"""How a release looks at itself: the gate's checks, the loads and the code evidence, each run as its own process."""

import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.release import gate_report, loads, process
from infra.release.artifact import Artifact
from infra.release.errors import CouldNotLook, GateClosed, ReleaseError
from infra.release.gate_report import GateReport
from infra.release.loads import Load
from infra.release.order import Order
from infra.release.plan import EVIDENCE, Step
from infra.release.process import Finished, Process
from infra.release.record import Record
from infra.release.source import Source, git
from infra.release.tools import EVIDENCE_KEPT_HOURS, Tools

GATE_OPEN, GATE_CLOSED = 0, 1


@dataclass(frozen=True)
class Measured:
    """A load and the file that holds it."""

    load: Load
    file: Path


class Proof:
    """Runs the tools that prove something, and reads their answers."""

    def __init__(self, order: Order, tools: Tools, record: Record, manifest: Path | None) -> None:
        self._order = order
        self._tools = tools
        self._record = record
        self._manifest = manifest

    def run(self, argv: Sequence[str], log: Path, seconds: float) -> Finished:
        """Run one tool to its end. Raises TimedOut."""
        return process.run(
            argv, log=log, timeout=seconds, cwd=self._tools.root, register=self._record.register
        )

    def deploy(self, step: Step, argv: Sequence[str]) -> None:
        """Run pyinfra as a step. Raises ReleaseError with the end of its output when a host failed."""
        with self._record.step(step) as running:
            done = self.run(argv, running.log, step.seconds)
            if done.rc:
                raise ReleaseError(f"{step.title}: failed: {_what_failed(done)}; all of it: {running.log}")
            running.detail = _changes(done)

    def check(self, step: Step, phase: str, load: Measured | None = None) -> GateReport:
        """Run the gate for one phase. Raises GateClosed naming what is red, CouldNotLook when it could not run."""
        out = self._record.directory / "checks" / phase
        extra = [
            "--timeline",
            str(self._record.keep("timeline-so-far.json", self._record.timeline()["steps"])),
        ]
        if self._manifest is not None:
            extra += ["--release-manifest", str(self._manifest)]
        if load is not None:
            extra += ["--merge-load", str(load.file)]
        if self._order.allow_unimplemented:
            extra.append("--allow-unimplemented")
        with self._record.step(step) as running:
            done = self.run(self._tools.checks(phase, out, extra=extra), running.log, step.seconds)
            if done.rc not in (GATE_OPEN, GATE_CLOSED):
                raise CouldNotLook(
                    f"`{phase}` checks could not run (exit {done.rc}); {running.log}\n{done.tail(5)}"
                )
            for name in ("report.json", "report.html", "junit.xml"):
                if (out / name).is_file():
                    shutil.copyfile(out / name, self._record.directory / name)
            report = gate_report.read(out)
            running.detail = str(report)
            if done.rc == GATE_CLOSED or not report.opened:
                missing = 0 if self._order.allow_unimplemented else report.unimplemented
                raise GateClosed(f"the gate is closed ({phase}): {_reasons(report, missing)}")
            return report

    def load(self, step: Step, name: str, before: Load | None, *, gates: bool = True) -> Measured:
        """Run one load through the edge and hold it against `before`; without `gates` it is only measured.

        A single load can be spoilt by a neighbour on the machine: what is void or worse is measured once more, and only
        worse twice counts. Raises GateClosed then, CouldNotLook when it was void twice or could not be made.
        """
        with self._record.step(step) as running:
            for attempt in ("", "-again"):
                place = self._record.directory / "loads" / f"{name}{attempt}"
                try:
                    measured = self._measure(place, running.log, step.seconds)
                    found = loads.worse(measured.load, before) if gates else []
                    trouble: ReleaseError = GateClosed(f"load `{name}`: {'; '.join(found)}")
                except CouldNotLook as void:
                    found, trouble = [str(void)], void
                if not found:
                    running.detail = str(measured.load) + (" (measured twice)" if attempt else "")
                    return measured
            raise trouble

    def _measure(self, place: Path, log: Path, seconds: float) -> Measured:
        wish = self._order.load
        done = self.run(self._tools.load(place, wish.scenario, wish.rate, wish.seconds), log, seconds)
        if not (place / "load.json").is_file():
            raise CouldNotLook(f"the load could not be made (exit {done.rc})\n{done.tail(5)}")
        return Measured(loads.read(place), place / "load.json")

    def collect_evidence(self, artifact: Artifact, state_dir: Path) -> "Evidence | None":
        """Begin to collect the code evidence of an artifact's very source, unless it is there and young."""
        wanted = state_dir / "evidence" / f"{artifact.tree}.json"
        if wanted.is_file() and time.time() - wanted.stat().st_mtime < EVIDENCE_KEPT_HOURS * 3600:
            return None
        wanted.parent.mkdir(parents=True, exist_ok=True)
        return Evidence(self._tools, self._record, _checkout_of(artifact, self._order.source), wanted)


class Evidence:
    """The collection of code evidence, running beside other steps. Awaited, or ended, by whoever began it."""

    def __init__(self, tools: Tools, record: Record, source: "Checkout", wanted: Path) -> None:
        self._record, self._source, self._wanted = record, source, wanted
        self._process = Process(
            tools.evidence(source.directory, wanted),
            log=record.directory / "logs" / "evidence.log",
            timeout=EVIDENCE.seconds,
            cwd=tools.root,
            register=record.register,
        )

    def finish(self) -> None:
        """Wait for it. What it found is the gate's to judge; raises CouldNotLook when it found nothing at all."""
        with self._record.step(EVIDENCE) as running:
            try:
                done = self._process.wait()
            finally:
                self._source.remove()
            if not self._wanted.is_file():
                raise CouldNotLook(f"no code evidence (exit {done.rc}); {done.log}\n{done.tail(5)}")
            running.detail = f"collected beside the deploy in {done.seconds:.0f} s"

    def end(self) -> None:
        """Give it up."""
        if self._process.running():
            self._process.end()
        self._source.remove()


class Checkout:
    """A directory that holds an artifact's source: the given one, or a clone of its commit that goes away again."""

    def __init__(self, directory: Path, scratch: Path | None = None) -> None:
        self.directory = directory
        self._scratch = scratch

    def remove(self) -> None:
        """Remove the clone, if it is one."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)


def _reasons(report: GateReport, missing: int) -> str:
    """What keeps the gate shut, in few words."""
    parts = list(report.red[:8])
    if len(report.red) > 8:
        parts.append(f"{len(report.red) - 8} more red")
    if missing:
        parts.append(f"{missing} not implemented (--allow-unimplemented goes on without them)")
    return ", ".join(parts) or "see its report"


def _checkout_of(artifact: Artifact, given: Path) -> Checkout:
    if Source.of(given).tree == artifact.tree:
        return Checkout(given)
    scratch = Path(tempfile.mkdtemp(prefix="launchgate-source-"))
    clone = scratch / "source"
    try:
        git(given, "clone", "--quiet", "--shared", "--no-checkout", str(given), str(clone))
        git(clone, "checkout", "--quiet", "--detach", artifact.commit.partition("+")[0])
        if Source.of(clone).tree == artifact.tree:
            return Checkout(clone, scratch)
    except ReleaseError as why:
        shutil.rmtree(scratch, ignore_errors=True)
        raise CouldNotLook(
            f"{artifact.version}: the source it was built from is not in {given} ({why})"
        ) from why
    shutil.rmtree(scratch, ignore_errors=True)
    raise CouldNotLook(
        f"{artifact.version} was built from content that {given} no longer holds, and has no code evidence; "
        "build a new version, or give the checkout it came from with --source"
    )


def _what_failed(done: Finished) -> str:
    """The lines in which pyinfra names a host and its error; the end of its output when there is none."""
    lines = done.log.read_text(encoding="utf-8", errors="replace").splitlines()
    named = [
        line.strip()
        for line in lines
        if re.search(r"^\s*\[[\w.-]+\].*\berror\b|pyinfra error|^\s*\w*Error:", line, re.I)
    ]
    return "; ".join(named[:4]) or done.tail(5)


def _changes(done: Finished) -> str:
    """What pyinfra's line of totals says: operations by host, and how many of them changed something."""
    text = done.log.read_text(encoding="utf-8", errors="replace")
    totals = re.findall(r"Grand total\s+(\S+)\s+(\S+)\s+\S+\s+\S+", text)
    return f"{totals[-1][0]} operations, {totals[-1][1].replace('-', '0')} changed" if totals else ""
