"""The demo: three releases on a fleet of its own, told so that a person sees in ten seconds what happened.

Safe to run twice: what exists with the same content is used again, and where a version exists with other content
the demo's versions move on by a patch level (1.0.1, 1.1.1, 1.2.1). Safe to interrupt: the next run goes on.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.release.artifact import Artifact
from infra.release.build import VersionTaken, build
from infra.release.demo import bad_version
from infra.release.errors import ReleaseError
from infra.release.fleet import Fleet
from infra.release.order import LoadWish, Order
from infra.release.process import Process
from infra.release.progress import Progress
from infra.release.source import Source
from infra.release.tools import Tools
from infra.release.verdict import Buying

UP_SECONDS = 900.0
EVIDENCE_SECONDS = 900.0
PROBE_RATE = 50.0
# Requests/s of a release's own loads: two cores carry machines, service, databases, generators and prober together.
RATE_BESIDE_PROBER, RATE_ALONE = 20.0, 40.0
PROBE_SECONDS = 900.0
RELEASED, ROLLED_BACK = 0, 4
LARGEST_PATCH_LEVEL = 99
Release = Callable[[Order, Fleet, Tools, Progress], int]


@dataclass(frozen=True)
class Versions:
    """The demo's three artifacts, and the checkout that the bad one was built from."""

    first: Artifact
    better: Artifact
    bad: Artifact
    bad_source: Source


@dataclass(frozen=True)
class Lost:
    """What the prober that never retries saw."""

    sent: int
    lost: int


def tell(
    tools: Tools, source: Path, dist: Path, progress: Progress, open_fleet: Callable[[], Fleet], release: Release,
    state_dir: Path,
) -> int:  # fmt: skip
    """Run the demo from its beginning to its summary; return the exit code: 0 when everything went as it must.

    `open_fleet` reads the inventory once the fleet is up; `state_dir` is where its evidence will be looked for.
    """
    began = time.monotonic()
    with ExitStack() as work:
        scratch = Path(work.enter_context(tempfile.TemporaryDirectory(prefix="launchgate-demo-")))
        progress.heading("1 · a fleet of eight machines; three versions are built meanwhile")
        up = work.enter_context(
            Process(tools.sandbox_up(), log=scratch / "up.log", timeout=UP_SECONDS, cwd=tools.root)
        )
        good, bad = Source.of(source), bad_version.make(source, scratch / "bad")
        versions = _build(good, bad, dist, progress)
        _await_fleet(up, progress)
        examined = [work.enter_context(_examined(tools, made, state_dir, scratch)) for made in (good, bad)]
        fleet = open_fleet()

        def put(artifact: Artifact, checkout: Path, wanted: int, rate: float) -> None:
            order = Order(
                source=checkout,
                dist=dist,
                version=artifact.version,
                allow_unimplemented=True,
                load=LoadWish(rate=rate),
                buying=Buying(rate=rate),
            )
            code = release(order, fleet, tools, progress)
            if code != wanted:
                raise ReleaseError(
                    f"the demo stops: the release of {artifact.version} ended with exit {code}, not {wanted}"
                )

        progress.heading(f"2 · {versions.first.version}: onto the fleet")
        put(versions.first, source, RELEASED, RATE_BESIDE_PROBER)

        with progress.working("the code of the third version is still being examined"):
            for wait in examined:  # while a prober counts lost requests, only the release may use the machine
                wait()
        progress.heading(f"3 · {versions.better.version}: released before a prober that never retries")
        with _probed(tools, scratch) as probed:
            put(versions.better, source, RELEASED, RATE_BESIDE_PROBER)
        lost = probed()
        _say_lost(lost, progress)

        progress.heading(f"4 · {versions.bad.version}: answers well until there is load")
        put(versions.bad, versions.bad_source.directory, ROLLED_BACK, RATE_ALONE)
    return _summary(fleet, versions, lost, time.monotonic() - began, progress)


def _build(good: Source, bad: Source, dist: Path, progress: Progress) -> Versions:
    """Three artifacts, at the lowest patch level at which none of them exists with other content."""
    for level in range(_level_in(dist), LARGEST_PATCH_LEVEL + 1):
        try:
            made = [build(of, f"1.{minor}.{level}", dist) for minor, of in enumerate((good, good, bad))]
        except VersionTaken:
            continue
        progress.say(f"built {', '.join(one.version for one in made)} in {dist}")
        return Versions(made[0], made[1], made[2], bad)
    raise ReleaseError(
        f"{dist}: all demo versions up to 1.0.{LARGEST_PATCH_LEVEL} exist with other content; remove it"
    )


def _level_in(dist: Path) -> int:
    """The highest patch level that an earlier demo has left: lower ones can only hold older content."""
    levels = [path.name.rpartition(".")[2] for minor in range(3) for path in dist.glob(f"1.{minor}.*")]
    return max((int(level) for level in levels if level.isdigit()), default=0)


def _await_fleet(up: Process, progress: Progress) -> None:
    with progress.working("the fleet is coming up"):
        done = up.wait()
    if done.rc:
        raise ReleaseError(f"the fleet did not come up:\n{done.tail()}")
    progress.line("fleet up", "done", done.seconds)


@contextmanager
def _examined(tools: Tools, source: Source, state_dir: Path, scratch: Path) -> Iterator[Callable[[], object]]:
    """Collect code evidence in the background; the release that needs it waits for this one instead of its own.

    Yields a function that waits for its end.
    """
    wanted = state_dir / "evidence" / f"{source.tree}.json"
    wanted.parent.mkdir(parents=True, exist_ok=True)
    argv = tools.evidence(source.directory, wanted)
    log = scratch / f"{source.tree}.log"
    with Process(argv, log=log, timeout=EVIDENCE_SECONDS, cwd=tools.root) as collecting:
        yield collecting.wait


@contextmanager
def _probed(tools: Tools, scratch: Path) -> Iterator[Callable[[], Lost]]:
    """Probe the service throughout; afterwards the yielded function says what was lost."""
    out = scratch / "prober.json"
    with Process(
        tools.prober(PROBE_RATE, out), log=scratch / "prober.log", timeout=PROBE_SECONDS, cwd=tools.root
    ) as prober:
        yield lambda: _read(out, prober.log)
        prober.end()


def _read(out: Path, log: Path) -> Lost:
    try:
        body = json.loads(out.read_text(encoding="utf-8"))
        return Lost(int(body["sent"]), int(body["lost"]))
    except (OSError, ValueError, KeyError, TypeError) as wrong:
        said = log.read_text(encoding="utf-8", errors="replace").strip()[-400:]
        raise ReleaseError(
            f"the prober left no account ({type(wrong).__name__}: {wrong}); it said: {said}"
        ) from wrong


def _say_lost(lost: Lost, progress: Progress) -> None:
    text = f"prober: {lost.lost} lost of {lost.sent} requests, GET and POST, none retried"
    (progress.warn if lost.lost else progress.say)(text)


def _summary(fleet: Fleet, versions: Versions, lost: Lost, seconds: float, progress: Progress) -> int:
    newest = max(
        (fleet.state_dir / "releases").glob(f"*-{versions.bad.version}*"), key=lambda path: path.name
    )
    facts = json.loads((newest / "outcome.json").read_text(encoding="utf-8"))["facts"]
    current = fleet.state.read().current
    well = lost.lost == 0 and current is not None and current.release == versions.better.release
    progress.summary(
        f"demo: {seconds / 60:.1f} minutes", "good" if well else "bad",
        [
            (versions.first.version, "released"),
            (versions.better.version, f"released, {lost.lost} of {lost.sent} requests lost"),
            (versions.bad.version, f"failed under load, taken back: {facts.get('switched back', '')}"),
            ("now", f"{current.release if current else 'nothing'}: {facts.get('restored', '')}"),
            ("report", str(newest / "report.html")),
            ("post-mortem", str(newest / "post-mortem.md")),
            ("look around", f"{fleet.url} · launchgate sandbox status · launchgate sandbox ssh app1"),
            ("stop", "launchgate sandbox down"),
        ],
    )  # fmt: skip
    return 0 if well else 1
