"""Plain HTTP carries nothing: every path is sent to HTTPS for good, and browsers are told to stay there."""

from __future__ import annotations

from checks.gate import EdgeSession, Evidence, MachineUnderCheck, item
from checks.probes import nginx, plain_http
from checks.probes.security_headers import hsts_fault
from inventories.schema import Inventory

PERMANENT = (301, 308)
PATHS = (
    "/",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/api/v1/search",
    "/api/v1/search/suggestions?query=a%20b&databases=x",
    "/api/v1/auth/login",
    "/.well-known/security.txt",
    "/no/such/path?with=query&and=more",
)
APP_PORT = 8443
PLAIN_ON_TLS_PORT = 400  # what NGINX answers a client that speaks HTTP where TLS is spoken


@item("POST-SEC-3", on="lb")
def check_plain_requests_are_redirected_to_the_same_path(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    domain = inventory.settings.domain
    for path in PATHS:
        for method in ("GET", "POST"):
            answer = plain_http.ask(machine.address, 80, method, path, host=domain)
            evidence.that(
                answer.status in PERMANENT and answer.headers.get("location") == f"https://{domain}{path}",
                looked_at=f"{method} http://{domain}{path}",
                observed=answer.told(),
                expected=f"301 or 308 to https://{domain}{path}",
            )
    # A redirect that repeats the caller's Host header leads victims wherever an attacker likes.
    foreign = plain_http.ask(machine.address, 80, "GET", "/", host="attacker.example")
    evidence.that(
        "attacker.example" not in foreign.headers.get("location", "") and foreign.status != 200,
        looked_at="GET / with a foreign Host header, over plain HTTP",
        observed=foreign.told(),
        expected=f"no answer, or a redirect to {domain}",
    )


@item("PRE-SEC-3", on="lb")
def check_servers_without_tls_do_nothing_but_redirect(machine: MachineUnderCheck, evidence: Evidence) -> None:
    configuration = nginx.configuration(machine)
    servers = [one for one in configuration.servers() if plain_ports(one)]
    for server in servers:
        where = f"port {', '.join(map(str, sorted(plain_ports(server))))} of {' '.join(sorted(nginx.names(server)))}"
        wrong = answered_in_clear(configuration, server)
        evidence.expect(
            looked_at=f"places on {where} that do not redirect to https", observed=wrong, expected=[]
        )
    evidence.that(
        bool(configuration.servers(443)),
        looked_at="servers with TLS",
        observed=len(configuration.servers(443)),
        expected="at least one",
    )


@item("PRE-SEC-3", on="lb")
def check_browsers_are_told_to_stay_with_https(
    evidence: Evidence, machine: MachineUnderCheck, edge: EdgeSession, inventory: Inventory
) -> None:
    least = inventory.settings.thresholds.hsts_minimum_s
    for path in ("/health/live", "/no/such/path"):
        sent = edge.get(path).headers.get("Strict-Transport-Security", "")
        fault = hsts_fault(sent, least)
        evidence.that(
            not fault,
            looked_at=f"Strict-Transport-Security of {path} from {machine.name}",
            observed=fault or sent,
            expected=f"max-age of at least {least} s",
        )


@item("PRE-SEC-3", on=("lb", "app"))
def check_tls_ports_do_not_serve_plain_http(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    port = 443 if "lb" in machine.roles else APP_PORT
    answer = plain_http.ask(machine.address, port, "GET", "/health/live", host=inventory.settings.domain)
    evidence.that(
        answer.status in (0, PLAIN_ON_TLS_PORT),
        looked_at=f"plain HTTP to {machine.name}:{port}",
        observed=answer.told(),
        expected="no answer, or 400",
    )


def plain_ports(server: nginx.Directive) -> set[int]:
    """Ports on which a server speaks without TLS."""
    plain = set()
    for listen in server.all("listen"):
        if not {"ssl", "quic"} & set(listen.args) and not listen.args[0].startswith("unix:"):
            port = listen.args[0].rpartition(":")[2]
            plain.add(int(port) if port.isdigit() else 80)
    return plain if server.all("listen") else {80}


def answered_in_clear(configuration: nginx.Configuration, server: nginx.Directive) -> list[str]:
    """Places of a server without TLS that do anything but redirect to HTTPS for good."""
    if _redirects(server):
        return []  # a server's own return comes before any location is looked at
    places = [place.innermost for place in configuration.locations(server)[1:]]
    wrong = [str(place) for place in places if not _redirects(place)]
    if not any(place.args == ("/",) and _redirects(place) for place in server.all("location")):
        wrong.append("whatever no location names")
    return wrong


def _redirects(block: nginx.Directive) -> bool:
    returned = block.first("return")
    if returned is None or len(returned.args) < 2:
        return False
    return returned.args[0] in ("301", "308") and returned.args[1].startswith("https://")
