"""The balancer runs what is written, ends TLS, and spreads requests over the app machines and nothing else."""

from __future__ import annotations

import re
from collections import Counter

from checks.gate import CouldNotLook, EdgeSession, Evidence, MachineUnderCheck, item
from checks.gate.fleet import Fleet
from checks.probes import nginx, tls
from checks.probes.accounts import Tenants
from checks.probes.edge_log import upstreams_of_a_burst
from checks.probes.proxy import proxy
from checks.probes.sockets import listeners
from inventories.schema import Inventory

APP_PORT = 8443
# Whatever has no forward secrecy or no authenticated encryption.
WEAK_CIPHERS = "ALL:!AESGCM:!CHACHA20:!AESCCM:!ARIAGCM:!PSK:!SRP:@SECLEVEL=0"
OLD_PROTOCOLS = ("tls1", "tls1_1")
STICKY = ("ip_hash", "hash", "sticky", "sticky_cookie_insert")
BURST, BURSTS = 8, 6
CONNECT_SECONDS_MAXIMUM = 5
JSON_TYPES = ("application/json", "*")
GZIP_MINIMUM_LENGTH = 1400  # bytes; an answer that fits one packet gains nothing
PRIVATE_PATHS = ("/metrics", "/health/detailed")
LONGEST_REQUEST_ID = "compression-" + "a" * 116


@item("INF-LB-1", on="lb")
def check_the_proxy_runs_the_configuration_on_disk(machine: MachineUnderCheck, evidence: Evidence) -> None:
    seen = proxy(machine)
    evidence.expect(looked_at="nginx.service", observed=seen.active, expected="active")
    evidence.expect(looked_at="nginx.service at boot", observed=seen.enabled, expected="enabled")
    evidence.expect(looked_at="nginx -t, exit status", observed=seen.test_status, expected=0)
    evidence.that(
        seen.runs_what_is_written,
        looked_at="start of the oldest worker against the last change of a configuration file",
        observed=f"workers {sorted(seen.workers_started)[:1]}, files {seen.configuration_written}",
        expected="workers that started after the change; else NGINX was not reloaded",
    )
    open_ports = {(one.port, ":" in one.address) for one in listeners(machine) if one.process == "nginx"}
    for port in (80, 443):
        for family, is_v6 in (("IPv4", False), ("IPv6", True)):
            evidence.that(
                (port, is_v6) in open_ports,
                looked_at=f"nginx listening on {port}, {family}",
                observed=sorted(open_ports),
                expected="a socket",
            )


@item("INF-LB-2", on="lb")
def check_the_edge_speaks_modern_tls_only(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory, fleet: Fleet
) -> None:
    domain = inventory.settings.domain
    ca_file = str(inventory.ca_file)
    here = tls.Look(machine.address, 443, domain, ca_file, alpn="h2,http/1.1")
    old = [
        tls.Look(machine.address, 443, domain, ca_file, protocol=one, ciphers="ALL:@SECLEVEL=0")
        for one in OLD_PROTOCOLS
    ]
    weak = tls.Look(machine.address, 443, domain, ca_file, protocol="tls1_2", ciphers=WEAK_CIPHERS)
    modern, *refused = tls.from_here([here, *old, weak])
    _expect_modern(evidence, "this computer", here, modern)
    evidence.expect(looked_at=f"{here}, ALPN", observed=modern.alpn, expected="h2")
    for look, seen in zip([*old, weak], refused, strict=True):
        evidence.that(
            not seen.established, looked_at=str(look), observed=seen.told(), expected="no handshake"
        )
    neighbour = fleet.named(inventory.role("app")[0].name)
    there = tls.Look(machine.address, 443, domain, tls.ca_on_machines(inventory.settings.edge_certificate))
    (from_there,) = tls.from_machine(neighbour, [there])
    _expect_modern(evidence, neighbour.name, there, from_there)


@item("INF-LB-3", on="lb")
def check_a_dead_app_machine_is_passed_over(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    for place in _proxied(nginx.configuration(machine), inventory):
        cases = set(place.value("proxy_next_upstream", "error timeout").split())
        evidence.that(
            {"error", "timeout"} <= cases and not cases & {"off", "non_idempotent"},
            looked_at=f"proxy_next_upstream in {place}",
            observed=" ".join(sorted(cases)),
            expected="error and timeout, and never a request that may have had an effect",
        )
        patience = _seconds(place.value("proxy_connect_timeout", "60s"))
        evidence.that(
            patience <= CONNECT_SECONDS_MAXIMUM,
            looked_at=f"proxy_connect_timeout in {place}",
            observed=f"{patience:g} s",
            expected=f"at most {CONNECT_SECONDS_MAXIMUM} s, or every request waits for the dead",
        )
        tries = int(place.value("proxy_next_upstream_tries", "0"))
        evidence.that(
            tries == 0 or tries >= 2,
            looked_at=f"proxy_next_upstream_tries in {place}",
            observed=tries,
            expected="0 (no limit) or at least 2",
        )


@item("INF-LB-3", on="lb")
def check_every_app_machine_is_ready_for_the_balancer(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    domain = inventory.settings.domain
    for app in inventory.role("app"):
        answer = machine.run(
            f"printf 'GET /health/ready HTTP/1.1\\r\\nHost: {domain}\\r\\nConnection: close\\r\\n\\r\\n' | "
            f"timeout 8 openssl s_client -quiet -ign_eof -verify_return_error -CAfile {tls.INTERNAL_CA} "
            f"-verify_hostname {app.name} -servername {app.name} -connect {app.address}:{APP_PORT} 2>&1",
            cached=False,
        )
        status = re.search(r"^HTTP/1\.1 (\d+)", answer.stdout, re.MULTILINE)
        evidence.expect(
            looked_at=f"{app.name} /health/ready, asked by {machine.name} over TLS",
            observed=status[1] if status else answer.stdout[-200:],
            expected="200",
        )


@item("INF-LB-4", on="lb")
def check_requests_of_one_client_reach_every_app_machine(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory, edge: EdgeSession
) -> None:
    configuration = nginx.configuration(machine)
    for upstream in configuration.http.all("upstream"):
        sticky = [str(one) for one in upstream.block if one.name in STICKY]
        evidence.expect(looked_at=f"stickiness in {upstream}", observed=sticky, expected=[])
    targets = {place.value("proxy_pass") for place in _proxied(configuration, inventory)}
    evidence.that(
        not any("$" in one for one in targets),
        looked_at="proxy_pass",
        observed=sorted(targets),
        expected="an upstream's name, not one computed from the request",
    )
    wanted = {f"{app.address}:{APP_PORT}" for app in inventory.role("app")}
    met: Counter[str] = Counter()
    for _ in range(BURSTS):  # by least connections a busy machine may well be passed over for a while
        met += upstreams_of_a_burst(machine, edge, BURST)
        if wanted <= set(met):
            break
    evidence.that(
        wanted <= set(met),
        looked_at=f"machines that answered {met.total()} requests of one client with one cookie",
        observed=dict(met),
        expected=f"all of {sorted(wanted)}",
    )


@item("INF-LB-5", on="lb")
def check_upstreams_are_the_app_machines(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    configuration = nginx.configuration(machine)
    wanted = {f"{app.address}:{APP_PORT}" for app in inventory.role("app")}
    places = _proxied(configuration, inventory)
    for place in places:
        name = place.value("proxy_pass").partition("://")[2].partition("/")[0]
        upstream = configuration.upstream(name)
        servers = upstream.all("server") if upstream else ()
        serving = {one.args[0] for one in servers if not {"down", "backup"} & set(one.args)}
        evidence.expect(
            looked_at=f"servers that take requests of {place}",
            observed=sorted(serving),
            expected=sorted(wanted),
        )


@item("INF-LB-5", on="lb")
def check_paths_and_names_lead_where_they_should(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory, edge: EdgeSession
) -> None:
    for path in PRIVATE_PATHS:
        evidence.expect(
            looked_at=f"GET {path} at the edge", observed=edge.get(path).status_code, expected=404
        )
    live = edge.get("/health/live")
    evidence.expect(looked_at="GET /health/live at the edge", observed=live.status_code, expected=200)
    # Each of these is refused by the service itself, in its own envelope: proof that the path reaches it.
    for method, path in (("POST", "/api/v1/search"), ("GET", "/api/v1/databases"), ("GET", "/api/v1/keys")):
        answer = edge.request(method, path, json={} if method == "POST" else None)
        error = _envelope_error(answer.text)
        evidence.that(
            answer.status_code == 401 and error != "",
            looked_at=f"{method} {path} at the edge, without credentials",
            observed=f"{answer.status_code} {error or answer.text[:120]}",
            expected="401 in the service's envelope",
        )
    stranger = tls.Look(machine.address, 443, "stranger.example", ca_file=str(inventory.ca_file))
    (seen,) = tls.from_here([stranger])
    evidence.that(
        not seen.established, looked_at=str(stranger), observed=seen.told(), expected="no handshake"
    )


@item("INF-LB-6", on="lb")
def check_compression_is_in_force_for_json(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory
) -> None:
    for place in _proxied(nginx.configuration(machine), inventory):
        evidence.expect(looked_at=f"gzip in {place}", observed=place.value("gzip", "off"), expected="on")
        types = place.value("gzip_types", "text/html").split()
        evidence.that(
            any(one in types for one in JSON_TYPES),
            looked_at=f"gzip_types in {place}",
            observed=" ".join(types),
            expected="application/json among them",
        )
        length = int(place.value("gzip_min_length", "20"))
        evidence.that(
            length <= GZIP_MINIMUM_LENGTH,
            looked_at=f"gzip_min_length in {place}",
            observed=length,
            expected=f"at most {GZIP_MINIMUM_LENGTH}",
        )


@item("INF-LB-6", on="lb")
def check_a_json_answer_arrives_compressed(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory, edge: EdgeSession, tenants: Tenants
) -> None:
    # NGINX compresses answers of status 200, 403 and 404 only; the list of a user's own keys is long enough.
    tenant = tenants.one(evidence)
    tenant.key(evidence)
    asked = {"Authorization": f"Bearer {tenant.token}", "X-Request-Id": LONGEST_REQUEST_ID}
    plain = edge.get("/api/v1/keys", headers={**asked, "Accept-Encoding": "identity"})
    packed = edge.get("/api/v1/keys", headers={**asked, "Accept-Encoding": "gzip"})
    places = _proxied(nginx.configuration(machine), inventory)
    least = max(int(place.value("gzip_min_length", "20")) for place in places)
    if len(plain.content) < least:
        raise CouldNotLook(f"the answer has {len(plain.content)} bytes; compression begins at {least}")
    seen = (plain.headers.get("Content-Encoding"), packed.headers.get("Content-Encoding"))
    evidence.expect(
        looked_at=f"Content-Encoding of {plain.headers.get('Content-Type')}, {len(plain.content)} bytes, "
        "asked without and with gzip",
        observed=seen,
        expected=(None, "gzip"),
    )
    evidence.that(
        "accept-encoding" in packed.headers.get("Vary", "").lower(),
        looked_at="Vary of the compressed answer",
        observed=packed.headers.get("Vary", "none"),
        expected="Accept-Encoding",
    )


def _expect_modern(evidence: Evidence, where: str, look: tls.Look, seen: tls.Handshake) -> None:
    evidence.that(
        seen.established and seen.protocol in ("TLSv1.2", "TLSv1.3"),
        looked_at=f"{look} from {where}",
        observed=seen.told(),
        expected="TLS 1.2 or 1.3",
    )


def _proxied(configuration: nginx.Configuration, inventory: Inventory) -> list[nginx.Location]:
    """Places of the public server that hand requests on. Raises AssertionError when there is none."""
    found = [
        place
        for server in configuration.servers(443, inventory.settings.domain)
        for place in configuration.locations(server)
        if place.innermost.first("proxy_pass")
    ]
    assert found, f"nginx -T: no server for {inventory.settings.domain}:443 hands requests on"
    return found


def _envelope_error(text: str) -> str:
    match = re.search(r'"success"\s*:\s*false.*?"code"\s*:\s*"([A-Z_]+)"', text, re.DOTALL)
    return match[1] if match else ""


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+)(ms|s|m|h)?", text)
    if match is None:
        raise CouldNotLook(f"nginx -T: {text!r} is not a time")
    return int(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, None: 1}[match[2]]
