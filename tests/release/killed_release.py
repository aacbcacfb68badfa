"""Releases on a toy fleet and kills itself with SIGKILL at the N-th moment at which it writes something down.

python killed_release.py TOY_DIRECTORY VERSION N        N = 0: never
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toy_fleet import Toy, progress

from infra.release import journal, slots, state
from infra.release.commands import run_release

moments = 0


def deadly(method: Callable[..., Any], last: int) -> Callable[..., Any]:
    """The same method, but when its turn comes the process dies: before its work on odd turns, after it on even."""

    def call(*arguments: Any, **named: Any) -> Any:
        global moments  # noqa: PLW0603
        moments += 1
        if moments == last:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = method(*arguments, **named)
        moments += 1
        if moments == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return call


def main(directory: str, version: str, last: str) -> int:
    toy = Toy(Path(directory))
    for owner, name in ((journal.Journal, "append"), (state.StateKeeper, "write"), (slots.AppHost, "_do")):
        setattr(owner, name, deadly(getattr(owner, name), int(last)))
    code = run_release(toy.order(version), toy.fleet, toy.tools, progress())
    print(moments)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
