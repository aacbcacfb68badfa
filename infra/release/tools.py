"""The command lines of the tools that a release runs: pyinfra, the gate, the loads. What builds a command is here,
what decides is in the conductor."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.release.artifact import Artifact

REPOSITORY = Path(__file__).resolve().parents[2]
# The gate takes evidence of up to a day; what is used again must still count when the release has ended.
EVIDENCE_KEPT_HOURS = 12


@dataclass(frozen=True)
class Tools:
    """Builds argument lists for one inventory. All of them run in `root`."""

    inventory: Path
    root: Path = REPOSITORY
    python: str = sys.executable

    def pyinfra(
        self, entry: str, *, limit: Sequence[str] = (), data: Mapping[str, str] | None = None
    ) -> list[str]:
        """`pyinfra INVENTORY infra/ENTRY.py -y`, on all hosts or on `limit`."""
        words = [self.python, "-m", "pyinfra", str(self.inventory), f"infra/{entry}.py", "-y"]
        for name in limit:
            words += ["--limit", name]
        for key, value in (data or {}).items():
            words += ["--data", f"{key}={value}"]
        return words

    def stage(self, artifact: Artifact, hosts: Sequence[str]) -> list[str]:
        """Install an artifact in the inactive slots of app hosts."""
        return self.pyinfra("app_stage", limit=hosts, data={"release": artifact.release})

    def migrate(self, artifact: Artifact, host: str) -> list[str]:
        """Expand the database schema for an artifact, from one app host."""
        return self.pyinfra("app_migrate", limit=[host], data={"release": artifact.release})

    def checks(self, phase: str, out: Path, *, extra: Sequence[str] = ()) -> list[str]:
        """The gate for one phase, with its reports in `out`."""
        return [
            self.python,
            "-m",
            "pytest",
            "checks",
            "--inventory",
            str(self.inventory),
            "--phase",
            phase,
            "--out",
            str(out),
            *extra,
        ]

    def evidence(self, source: Path, out: Path) -> list[str]:
        """Collect what the PRE-CODE items judge, for the source in `source`, unless it is there and young; of two who
        want the same, one waits."""
        collect = [
            self.python,
            "-m",
            "checks.code_quality.collect",
            "--source",
            str(source),
            "--out",
            str(out),
            "--inventory",
            str(self.inventory),
        ]
        young = f'[ -n "$(find "$0" -mmin -{EVIDENCE_KEPT_HOURS * 60} 2>/dev/null)" ] || exec "$@"'
        return ["flock", f"{out}.lock", "sh", "-c", young, str(out), *collect]

    def load(self, out: Path, scenario: str, rate: float, seconds: float) -> list[str]:
        """One open-model load through the edge."""
        return [
            self.python,
            "-m",
            "loadtests.run",
            str(self.inventory),
            "--scenario",
            scenario,
            "--rate",
            f"{rate:g}",
            "--duration",
            f"{seconds:g}",
            "--out",
            str(out),
        ]

    def pairs(
        self, baseline: str, candidate: str, pairs: int, rate: float, out: Path, *, append: bool
    ) -> list[str]:
        """Paired, interleaved slices of load on two app hosts, as A.jsonl and B.jsonl in `out`."""
        words = [self.python, "-m", "loadtests.pairs", str(self.inventory), "--baseline", baseline]
        words += ["--candidate", candidate, "--pairs", str(pairs), "--rate", f"{rate:g}", "--out", str(out)]
        return [*words, "--append"] if append else words

    def prober(self, rate: float, out: Path) -> list[str]:
        """Requests that are never retried, until it is asked to end."""
        return [
            self.python,
            "-m",
            "loadtests.prober",
            str(self.inventory),
            "--rate",
            f"{rate:g}",
            "--out",
            str(out),
        ]

    def sandbox_up(self) -> list[str]:
        """Bring the sandbox fleet up."""
        return [self.python, "-m", "infra.cli", "sandbox", "up"]

    def judge(self, baseline: Path, candidate: Path, out: Path) -> list[str]:
        """The verdict on recorded slices, with its numbers in the file `out`."""
        return [self.python, "-m", "loadtests.judge", str(baseline), str(candidate), "--out", str(out)]
