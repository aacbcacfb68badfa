"""`launchgate build`, `release`, `rollback` and `demo`: what a person types, and what the exit code says."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from infra.release import plan, postmortem
from infra.release.artifact import checked_version, open_artifact
from infra.release.build import build as build_artifact
from infra.release.build import declared_version
from infra.release.conductor import release as conduct
from infra.release.demo.story import tell
from infra.release.errors import Interrupted, ReleaseError
from infra.release.fleet import Fleet
from infra.release.order import LoadWish, Order, Outcome
from infra.release.plan import Situation
from infra.release.preflight import look
from infra.release.progress import Progress
from infra.release.record import Record
from infra.release.recover import decide
from infra.release.redaction import Redaction
from infra.release.rollback import roll_back
from infra.release.signals import interruptible
from infra.release.source import Source
from infra.release.tools import REPOSITORY, Tools
from infra.release.verdict import Buying
from infra.sandbox import locations
from inventories.schema import InventoryError, load_inventory

app = typer.Typer(no_args_is_help=True, help="Build, release, roll back.", pretty_exceptions_enable=False)

InventoryArgument = Annotated[
    Path, typer.Argument(metavar="INVENTORY", help="pyinfra inventory file of the fleet")
]
VersionOption = Annotated[
    str | None, typer.Option("--version", metavar="V", help="default: the one in the source")
]
SourceOption = Annotated[Path, typer.Option("--source", metavar="DIR", help="checkout to build from")]
OutOption = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="copy the release record here")]
AllowOption = Annotated[
    bool, typer.Option("--allow-unimplemented", help="go on although items have no check yet")
]

DIST = REPOSITORY / "dist"  # where the deploys look for artifacts, too


@app.command()
def build(version: VersionOption = None, source: SourceOption = REPOSITORY) -> None:
    """Make dist/V: the wheel, its locked wheelhouse, an SBOM and the manifest. The same content, the same digest."""
    progress = Progress()
    with _errors_in_one_line(), interruptible():
        artifact = build_artifact(Source.of(source), version, DIST)
        progress.summary(
            f"{artifact.version} built",
            "good",
            [("digest", artifact.digest), ("commit", artifact.commit), ("in", str(artifact.directory))],
        )


@app.command()
def release(
    inventory: InventoryArgument,
    version: VersionOption = None,
    out: OutOption = None,
    allow_unimplemented: AllowOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the plan, change nothing")] = False,
    source: SourceOption = REPOSITORY,
    rate: Annotated[float, typer.Option(help="requests/s of every load", min=1)] = 40.0,
    seconds: Annotated[float, typer.Option(help="length of the loads before and after", min=2)] = 8.0,
    pairs: Annotated[int, typer.Option(help="pairs of slices bought at a time", min=10)] = 12,
) -> None:
    """Take a version onto a fleet: check, measure, canary, judge, switch, check again; or take it back."""
    progress = Progress()
    with _errors_in_one_line(), interruptible():
        fleet = _fleet(inventory)
        order = Order(
            source=source.resolve(),
            dist=DIST,
            version=checked_version(version) if version else None,
            out=out,
            allow_unimplemented=allow_unimplemented,
            load=LoadWish(rate=rate, seconds=seconds),
            buying=Buying(first=pairs, more=pairs, rate=rate),
        )
        if dry_run:
            _print_plan(order, fleet, progress)
            return
        code = run_release(order, fleet, Tools(fleet.inventory_path), progress)
    raise typer.Exit(code)


@app.command()
def rollback(
    inventory: InventoryArgument,
    to: Annotated[
        str | None, typer.Option("--to", metavar="V", help="default: the release before the current one")
    ] = None,
    out: OutOption = None,
    allow_unimplemented: AllowOption = False,
    rate: Annotated[float, typer.Option(help="requests/s of the load afterwards", min=1)] = 40.0,
    seconds: Annotated[float, typer.Option(help="length of the load afterwards", min=2)] = 8.0,
) -> None:
    """Switch every app host back to the release before, and show that all is well there."""
    progress = Progress()
    with _errors_in_one_line(), interruptible():
        fleet = _fleet(inventory)
        order = Order(
            source=REPOSITORY,
            dist=DIST,
            out=out,
            allow_unimplemented=allow_unimplemented,
            load=LoadWish(rate=rate, seconds=seconds),
        )
        code = run_rollback(order, fleet, Tools(fleet.inventory_path), progress, to)
    raise typer.Exit(code)


@app.command()
def demo() -> None:
    """A fleet, a release, a better one, and one that fails under load and is taken back."""
    progress = Progress()
    with _errors_in_one_line(), interruptible():
        sandbox = REPOSITORY / "inventories" / "sandbox.py"
        state_dir = locations.fleet_directory(locations.fleet_name())
        code = tell(
            Tools(sandbox), REPOSITORY, DIST, progress, lambda: _fleet(sandbox), run_release, state_dir
        )
    raise typer.Exit(code)


def run_release(order: Order, fleet: Fleet, tools: Tools, progress: Progress) -> int:
    """A release with its record and its summary; returns the exit code."""
    name = order.version or declared_version(order.source)
    if order.allow_unimplemented:
        progress.warn(
            "--allow-unimplemented: the gate may open although items of the checklist have no check yet"
        )
    with _recorded(fleet, name, progress, order.out) as record:
        outcome = conduct(order, fleet, tools, record)
        record.note("ended", outcome=outcome.ending, reason=outcome.reason)
        record.keep("outcome.json", outcome.as_json())
        if outcome.ending in ("rolled back", "not back", "first failed"):
            postmortem.write(outcome, record.timeline())
    _summarise(outcome, progress, order.out or outcome.record)
    return outcome.exit_code


def run_rollback(order: Order, fleet: Fleet, tools: Tools, progress: Progress, to: str | None) -> int:
    """A rollback by hand with its record and its summary; returns the exit code."""
    with _recorded(fleet, "rollback", progress, order.out) as record:
        with record.step(plan.PREFLIGHT):
            look(fleet.members)
        with fleet.lock("rollback", progress.warn) as lock:
            back = roll_back(fleet, tools, order, record, lock, to)
            current = fleet.state.read().current
        record.note("ended", outcome="rolled back", reason="; ".join(back.doubts))
    lines = [
        ("current", current.release if current else "nothing"),
        ("switched", f"{', '.join(back.hosts) or 'no host had to move'} in {back.seconds:.2f} s"),
        *(("doubt", doubt) for doubt in back.doubts),
        ("record", str(order.out or record.directory)),
    ]
    if back.doubts:
        progress.summary("rolled back, with doubts", "bad", lines)
    else:
        progress.summary("rolled back", "good", lines)
    return 1 if back.doubts else 0


@contextmanager
def _recorded(fleet: Fleet, name: str, progress: Progress, out: Path | None) -> Iterator[Record]:
    """A record that is complete and copied to `out` however the work within ends."""
    progress.heading(f"{name} → {fleet.inventory_path.stem}")
    record = Record.new(fleet.state_dir / "releases", name, progress, Redaction(fleet.state_dir / "secrets"))
    record.note("begun", inventory=str(fleet.inventory_path))
    try:
        yield record
    except (ReleaseError, Interrupted) as why:
        record.note("ended", outcome="not begun", reason=str(why))
        raise
    finally:
        _complete_report(record)
        if out is not None:
            record.copy_to(out)


def _complete_report(record: Record) -> None:
    """The gate wrote its report before the release was over: give its timeline the last steps."""
    path = record.directory / "report.json"
    if path.is_file():
        record.keep(
            path.name,
            {**json.loads(path.read_text(encoding="utf-8")), "timeline": record.timeline()["steps"]},
        )


def _print_plan(order: Order, fleet: Fleet, progress: Progress) -> None:
    """Only reads: the fleet's state and what its hosts serve."""
    state = fleet.state.read()
    version = order.version or declared_version(order.source)
    built = order.dist / version
    candidate = open_artifact(built).release if built.is_dir() else f"{version}-(to be built)"
    serving = {host.name: host.status().release for host in fleet.app_hosts}
    current = decide(state, serving).target or state.current
    situation = Situation(tuple(serving), current.release if current else None, candidate)
    lines = plan.shown(situation, plan.steps(situation))
    if state.unfinished:
        lines.insert(
            1, f"first: finish or undo the unfinished release of {state.unfinished.candidate.version}"
        )
    progress.heading(lines[0])
    for line in lines[1:]:
        progress.say(line)


def _summarise(outcome: Outcome, progress: Progress, where: Path) -> None:
    kinds: dict[str, str] = {"released": "good", "rolled back": "back"}
    lines = [
        ("version", f"{outcome.candidate.release} (commit {outcome.candidate.commit[:12]})"),
        ("came from", outcome.came_from.release if outcome.came_from else "nothing"),
        ("current", outcome.current.release if outcome.current else "nothing"),
        *outcome.facts.items(),
    ]
    if outcome.reason:
        lines.insert(0, ("why", "\n".join(outcome.reason.splitlines()[:8])))
    lines.append(("report", str(where / "report.html") if (where / "report.html").is_file() else str(where)))
    progress.summary(
        f"{outcome.candidate.version}: {outcome.ending}", kinds.get(outcome.ending, "bad"), lines
    )


def _fleet(inventory: Path) -> Fleet:
    return Fleet.of(load_inventory(inventory))


@contextmanager
def _errors_in_one_line() -> Iterator[None]:
    """Errors that an operator can mend are one line and the design's exit code, never a traceback."""
    try:
        yield
    except InventoryError as wrong:
        raise _ended(str(wrong), 2) from None
    except (ReleaseError, Interrupted) as wrong:
        raise _ended(str(wrong), wrong.exit_code) from None


def _ended(text: str, code: int) -> typer.Exit:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]launchgate:[/] {escape(text)}")
    return typer.Exit(code)
