"""The spare slot of an app machine, run with other settings for a while: the served slot stays untouched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from checks.gate import CouldNotLook, DidNotApply, MachineUnderCheck
from checks.probes import slots

START_TIMEOUT_S = 60.0
EXTRA = "/run/launchgate-break.env"


@contextmanager
def overridden(machine: MachineUnderCheck, **variables: str) -> Iterator[str]:
    """The spare slot's name, while it runs with these settings on top (names without SEARCH_API_).

    Another EnvironmentFile= wins over the first, as an operator's drop-in would. An empty slot gets the active
    slot's release for as long. Raises DidNotApply when the process does not have the settings.
    """
    both = {one.name: one for one in slots.slots(machine)}
    active = next((one for one in both.values() if one.active), None)
    if active is None:
        raise CouldNotLook(f"{machine.name}: no slot is active; release something first")
    spare = next(one for one in both.values() if not one.active)
    unit, place = f"search-api@{spare.name}.service", f"/srv/search-api/slots/{spare.name}"
    drop_in = f"/run/systemd/system/{unit}.d"
    lines = "".join(f'SEARCH_API_{name.upper()}="{value}"\n' for name, value in variables.items())
    try:
        machine.must(f"install -m 600 /dev/stdin {EXTRA}", sudo=True, stdin=lines)
        machine.must(
            f"mkdir -p {drop_in} && printf '[Service]\\nEnvironmentFile={EXTRA}\\n' >{drop_in}/break.conf && "
            f"{{ [ -e {place} ] || ln -s /srv/search-api/releases/{active.release} {place}; }} && "
            f"systemctl daemon-reload && systemctl restart {unit} && "
            f"for i in $(seq 100); do [ -S /run/search-api/{spare.name}/http.sock ] && exit 0; sleep 0.1; done; exit 1",
            sudo=True,
            timeout_s=START_TIMEOUT_S,
        )
        _refuse_unchanged(machine, unit, variables)
        yield spare.name
    finally:
        machine.must(f"rm -rf {drop_in} {EXTRA}; systemctl daemon-reload", sudo=True)
        if spare.running:
            machine.must(
                f"{slots.TOOL} start {spare.name} {spare.release}", sudo=True, timeout_s=START_TIMEOUT_S
            )
        else:
            gone = "" if spare.release else f"; rm -f {place}"
            machine.must(f"systemctl stop {unit}{gone}", sudo=True, timeout_s=START_TIMEOUT_S)


def _refuse_unchanged(machine: MachineUnderCheck, unit: str, variables: dict[str, str]) -> None:
    command = f"tr '\\0' '\\n' </proc/$(systemctl show -p MainPID --value {unit})/environ"
    has = machine.must(command, sudo=True).lines()
    for name, value in variables.items():
        if f"SEARCH_API_{name.upper()}={value}" not in has:
            raise DidNotApply(f"{machine.name}: {unit} does not run with {name}={value}")
