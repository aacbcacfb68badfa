"""Redirects that almost do."""

from __future__ import annotations

from collections.abc import Iterator

from checks.breaks import edge as broken_edge
from checks.gate import MachineUnderCheck, compliant_variant, sabotage
from inventories.schema import Inventory


@sabotage("POST-SEC-3", on="lb", also_red=("PRE-SEC-3",), reason="302")
def the_redirect_is_temporary(machine: MachineUnderCheck) -> Iterator[None]:
    """Browsers come back over plain HTTP every time, and anyone between may answer first."""
    with broken_edge.rewritten(
        machine, "sed -i 's/return 301 https/return 302 https/' $f", shows="return 302"
    ):
        yield


@sabotage("POST-SEC-3", on="lb", near_miss=True, reason="301")
def the_redirect_forgets_the_path(machine: MachineUnderCheck) -> Iterator[None]:
    """Permanent and to HTTPS, but always to the front page."""
    script = "sed -i 's#\\(return 301 https://[^;]*\\)$request_uri;#\\1/;#' $f"
    with broken_edge.rewritten(machine, script, shows="/;"):
        yield


@sabotage("POST-SEC-3", on="lb", near_miss=True, reason="foreign Host")
def the_redirect_repeats_the_callers_host(machine: MachineUnderCheck, inventory: Inventory) -> Iterator[None]:
    """Right for every honest client; a forged Host header turns it into a link to anywhere."""
    script = f"sed -i 's#return 301 https://{inventory.settings.domain}#return 301 https://$host#' $f"
    with broken_edge.rewritten(machine, script, shows="https://$host"):
        yield


@compliant_variant("POST-SEC-3", on="lb")
def the_redirect_keeps_the_method(machine: MachineUnderCheck) -> Iterator[None]:
    """308 is as permanent as 301."""
    with broken_edge.rewritten(
        machine, "sed -i 's/return 301 https/return 308 https/' $f", shows="return 308"
    ):
        yield


@sabotage("PRE-SEC-3", on="lb", also_red=("POST-SEC-3",), reason="do not redirect")
def one_path_is_answered_in_clear(machine: MachineUnderCheck) -> Iterator[None]:
    """An old monitor asked for it: health over plain HTTP, and everything else redirected."""
    script = (
        "sed -i 's#^    return 301 \\(.*\\);#    location / { return 301 \\1; }\\n"
        '    location = /health/live { return 200 "alive"; }#\' $f'
    )
    with broken_edge.rewritten(machine, script, shows='return 200 "alive"'):
        yield


@sabotage(
    "PRE-SEC-3",
    on="lb",
    near_miss=True,
    also_red=("PRE-SEC-7", "POST-SEC-4"),
    may_also_red=("HARD-APP-4",),
    reason="max-age=0",
)
def browsers_are_told_to_forget(machine: MachineUnderCheck) -> Iterator[None]:
    """The header is there, on every answer, and says max-age=0: forget that this site wants HTTPS."""
    with broken_edge.rewritten(machine, "sed -i 's/max-age=[0-9]*/max-age=0/' $f", shows="max-age=0"):
        yield


@compliant_variant("PRE-SEC-3", on="lb")
def the_redirect_is_in_a_location(machine: MachineUnderCheck) -> Iterator[None]:
    """A location that redirects everything is as good as a server that does."""
    script = "sed -i 's#^    return 301 \\(.*\\);#    location / { return 301 \\1; }#' $f"
    with broken_edge.rewritten(machine, script, shows="location / { return 301"):
        yield
