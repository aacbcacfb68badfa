"""Are the direct dependencies current: what is locked against what the configured package index offers now.

The policy is declared here: no direct dependency a major release behind, and none more than five minor ones.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

from checks.code_quality.locks import Lock, read_locks
from checks.code_quality.tooling import Figures, Finding, run_tool
from checks.gate import CouldNotLook

INDEX_TIMEOUT_S = 120.0
MAJOR_LAG_MOST = 0
MINOR_LAG_MOST = 5
_OFFERED = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;]+)", re.MULTILINE)


def check_currency(source: Path, scratch: Path) -> Finding:
    """Compare every lock's direct dependencies. Raises CouldNotLook when the index does not answer."""
    behind: list[str] = []
    compared: dict[str, str] = {}
    for lock in read_locks(source):
        offered = _offered(source, lock, scratch)
        for name in lock.direct:
            if name not in offered:
                raise CouldNotLook(f"the package index offers no {name}; is it the right index?")
            compared[name] = f"{lock.versions[name]} of {offered[name]}"
            if too_far_behind(lock.versions[name], offered[name]):
                behind.append(f"{name} {lock.versions[name]} while {offered[name]} is offered ({lock.name})")
    figures: Figures = {"direct": len(compared), "behind": sorted(set(behind)), "compared": compared,
               "major_lag_most": MAJOR_LAG_MOST, "minor_lag_most": MINOR_LAG_MOST}  # fmt: skip
    if behind:
        return Finding(
            "FAIL", f"{len(figures['behind'])} too far behind: {'; '.join(figures['behind'][:5])}", figures
        )
    return Finding("PASS", f"{len(compared)} direct dependencies are within the declared lag", figures)


def too_far_behind(locked: Version, offered: Version) -> bool:
    """Whether a locked version lags more than the policy allows."""
    if offered <= locked:
        return False
    major = offered.major - locked.major
    return major > MAJOR_LAG_MOST or (major == 0 and offered.minor - locked.minor > MINOR_LAG_MOST)


def _offered(source: Path, lock: Lock, scratch: Path) -> dict[str, Version]:
    """The newest versions that fit together, asked for by bare names: a ceiling in our own file hides nothing."""
    wanted = scratch / f"{lock.name}.names"
    wanted.write_text("".join(f"{name}\n" for name in lock.direct.values()))
    uv = str(Path(sys.executable).with_name("uv"))
    ran = run_tool(
        source,
        [uv, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--upgrade", str(wanted)],
        INDEX_TIMEOUT_S,
    )
    if ran.rc:
        raise CouldNotLook(f"the package index could not be asked: {ran.last_words()}")
    return {
        canonicalize_name(found["name"]): Version(found["version"]) for found in _OFFERED.finditer(ran.stdout)
    }
