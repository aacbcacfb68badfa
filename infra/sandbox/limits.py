"""Kernel limits of this computer that a fleet needs higher, raised while fleets are up and put back afterwards.

All guests share root's budget of inotify instances; a guest uses about 7 (measured), and the kernel's default of 128 is
spent by the third fleet, whose machines then do not boot.
"""

import json
from pathlib import Path

from infra.sandbox import locations

NEEDED = {"fs/inotify/max_user_instances": 1024}
_SYSCTL = Path("/proc/sys")


def _record() -> Path:
    return locations.home() / "limits.json"


def raise_for_fleets() -> None:
    """Raise what is too low, remembering first what it was."""
    low = {name: value for name in NEEDED if (value := _read(name)) < NEEDED[name]}
    if not low:
        return
    kept = json.loads(_record().read_text()) if _record().exists() else {}
    new = _record().with_suffix(".new")
    new.parent.mkdir(parents=True, exist_ok=True)
    new.write_text(json.dumps({**low, **kept}))
    new.replace(_record())
    for name in low:
        (_SYSCTL / name).write_text(str(NEEDED[name]))


def put_back() -> None:
    """Put back what `raise_for_fleets` changed, unless someone else has changed it since."""
    if not _record().exists():
        return
    for name, value in json.loads(_record().read_text()).items():
        if _read(name) == NEEDED.get(name):
            (_SYSCTL / name).write_text(str(value))
    _record().unlink()


def _read(name: str) -> int:
    return int((_SYSCTL / name).read_text())
