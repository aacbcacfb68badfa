"""The verdict on a canary: paired slices of load, judged, and more pairs bought while nothing is proven."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.release.errors import CouldNotLook, GateClosed
from infra.release.process import Finished
from infra.release.tools import Tools

PASS, FAIL, INCONCLUSIVE = 0, 1, 3


@dataclass(frozen=True)
class Buying:
    """How many pairs are bought at first, and again at each further look; the judge splits its error over the looks."""

    first: int = 12
    more: int = 12
    looks: int = 2
    rate: float = 40.0


def judge_canary(
    tools: Tools,
    baseline: str,
    candidate: str,
    buying: Buying,
    directory: Path,
    run: Callable[[list[str]], Finished],
    say: Callable[[str], None],
) -> str:
    """Load both hosts in pairs until the judge is sure; return its sentence.

    Raises GateClosed when the candidate is worse, or not proven to be as good within the cap; CouldNotLook when load
    or judge could not do their work.
    """
    directory.mkdir(parents=True, exist_ok=True)
    a, b = directory / "A.jsonl", directory / "B.jsonl"
    for look in range(buying.looks):
        pairs = buying.more if look else buying.first
        done = run(tools.pairs(baseline, candidate, pairs, buying.rate, directory, append=look > 0))
        if done.rc:
            raise CouldNotLook(
                f"paired load on {candidate} and {baseline} could not be made:\n{done.tail(5)}"
            )
        done = run(tools.judge(a, b, directory / "verdict.json"))
        sentence = _sentence(directory) or done.tail(1)
        if done.rc == PASS:
            return sentence
        if done.rc == FAIL:
            raise GateClosed(f"verdict FAIL: {sentence}")
        if done.rc != INCONCLUSIVE:
            raise CouldNotLook(f"the judge could not judge:\n{done.tail(5)}")
        if look + 1 < buying.looks:
            say(f"inconclusive after {_count(a)} pairs ({sentence}); buying {buying.more} more")
    raise GateClosed(f"verdict INCONCLUSIVE after {_count(a)} pairs, which is no pass: {sentence}")


def _count(whole: Path) -> int:
    return len(whole.read_text(encoding="utf-8").splitlines()) if whole.is_file() else 0


def _sentence(directory: Path) -> str:
    path = directory / "verdict.json"
    try:
        body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(body.get("sentence") or body.get("reason") or body.get("verdict") or "")
