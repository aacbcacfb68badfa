"""Health that somebody made up, or that says no."""

from __future__ import annotations

from collections.abc import Iterator

from checks.breaks.edge import RELOAD
from checks.breaks.files import edited
from checks.gate import DidNotApply, MachineUnderCheck, compliant_variant, sabotage

DOOR = "/etc/nginx/conf.d/app.conf"
# Checks that ask the same endpoints by way of the balancer, which may or may not choose this machine.
SAME_ENDPOINTS = ("POST-FUNC-1", "POST-FUNC-6")
# Checks that want every slot that serves to be ready.
READY_SLOTS = ("RB-PREP-1", "RB-EXEC-3")


@sabotage(
    "INF-MON-6", on="app2", also_red=("INF-LB-3",), may_also_red=(*SAME_ENDPOINTS, *READY_SLOTS), reason="503"
)
def one_machine_is_draining(machine: MachineUnderCheck) -> Iterator[None]:
    """The instance that serves was told to take no new requests, and takes them."""
    file = "$(readlink -f /run/search-api/active)/drain"
    machine.must(f"touch {file}", sudo=True)
    if not machine.run(f"test -e {file}", sudo=True).ok:
        raise DidNotApply("there is no drain file")
    yield
    machine.must(f"rm {file}", sudo=True)


@sabotage("INF-MON-6", on="app2", near_miss=True, may_also_red=SAME_ENDPOINTS, reason="fields missing")
def the_proxy_answers_for_the_service(machine: MachineUnderCheck) -> Iterator[None]:
    """200 and "ready", from a location of the proxy: it would say so with every process dead."""
    answer = (
        'location = /health/ready { default_type application/json; return 200 "{\\"status\\":\\"ready\\"}"; }'
    )
    script = f"sed -i 's#    location = /metrics {{#    {_escaped(answer)}\\n&#' $f"
    try:
        with edited(machine, DOOR, script, shows="location = /health/ready {"):
            machine.must(RELOAD, sudo=True)
            yield
    finally:
        machine.must(RELOAD, sudo=True)


@compliant_variant("INF-MON-6", on="app2")
def health_has_a_location_of_its_own(machine: MachineUnderCheck) -> Iterator[None]:
    """A location for health that leads to the service is as good as the general one."""
    script = (
        "sed -i 's#    location = /metrics {#    "
        "location /health { include /etc/nginx/search-api-slot.conf; }\\n&#' $f"
    )
    try:
        with edited(machine, DOOR, script, shows="location /health {"):
            machine.must(RELOAD, sudo=True)
            yield
    finally:
        machine.must(RELOAD, sudo=True)


def _escaped(text: str) -> str:
    """For the right side of a sed s### in single quotes."""
    return text.replace("\\", "\\\\").replace("&", "\\&")
