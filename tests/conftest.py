"""What all tests share."""

from pathlib import PurePosixPath

import pytest
from xdist.scheduler import LoadScopeScheduling

# Tests of machines take turns on one fleet, and compare the computer before and after: one process runs them all,
# while others run the rest beside it. (xdist's own groups are told by node ids that this pytest no longer lets change.)
MACHINES = ("tests/fleet/", "tests/sandbox/")


class MachinesTogether(LoadScopeScheduling):
    """Deals out whole files, and all files of machines as one."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(MACHINES):
            return "machines"
        return str(PurePosixPath(nodeid.partition("::")[0]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> MachinesTogether:
    return MachinesTogether(config, log)  # type: ignore[arg-type]
