"""Every hop is encrypted and its server proved: from the edge to the last database, and nothing in clear beside it."""

from __future__ import annotations

from checks.gate import Evidence, MachineUnderCheck, item
from checks.gate.fleet import Fleet
from checks.probes import mysql, nginx, plain_http, redis, tls
from checks.probes.clear_text import redis_in_clear
from inventories.schema import Inventory

APP_PORT = 8443
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
TLS_KINDS = ("ANY", "X509", "SPECIFIED")
PLAIN_ON_TLS_PORT = 400  # what NGINX answers plain HTTP on a TLS port


@item("HARD-NET-4", on="lb")
def check_the_balancer_verifies_the_app_machines(machine: MachineUnderCheck, evidence: Evidence) -> None:
    configuration = nginx.configuration(machine)
    places = [
        place
        for server in configuration.servers()
        for place in configuration.locations(server)
        if place.innermost.first("proxy_pass")
    ]
    evidence.that(
        bool(places), looked_at="proxy_pass in nginx -T", observed=len(places), expected="at least one"
    )
    for place in places:
        target = place.value("proxy_pass")
        evidence.that(
            target.startswith("https://"),
            looked_at=f"proxy_pass in {place}",
            observed=target,
            expected="https://...",
        )
        evidence.expect(
            looked_at=f"proxy_ssl_verify in {place}",
            observed=place.value("proxy_ssl_verify", "off"),
            expected="on",
        )
        trusted = place.value("proxy_ssl_trusted_certificate")
        evidence.that(
            trusted != "",
            looked_at=f"proxy_ssl_trusted_certificate in {place}",
            observed=trusted or "none",
            expected="a CA to verify with",
        )
        old = {"SSLv2", "SSLv3", "TLSv1", "TLSv1.1"} & set(
            place.value("proxy_ssl_protocols", "TLSv1.2").split()
        )
        evidence.expect(
            looked_at=f"outdated proxy_ssl_protocols in {place}", observed=sorted(old), expected=[]
        )


@item("HARD-NET-4", on="app")
def check_app_machines_prove_themselves_and_speak_no_plain_http(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory, fleet: Fleet
) -> None:
    balancer = fleet.named(inventory.role("lb")[0].name)
    name = f"app.{inventory.settings.domain}"
    _expect_verified(evidence, balancer, tls.Look(machine.address, APP_PORT, name))
    plain = plain_http.ask(machine.address, APP_PORT, "GET", "/health/live", host=name)
    evidence.that(
        plain.status in (0, PLAIN_ON_TLS_PORT),
        looked_at=f"plain HTTP to {machine.name}:{APP_PORT}",
        observed=plain.told(),
        expected="no answer, or 400",
    )


@item("HARD-NET-4", on=("db", "customer"))
def check_databases_prove_themselves_and_refuse_clear_text(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory, fleet: Fleet
) -> None:
    settings = mysql.variables(machine)
    evidence.expect(
        looked_at="require_secure_transport", observed=settings.get("require_secure_transport"), expected="ON"
    )
    old = {"TLSV1", "TLSV1.0", "TLSV1.1"} & set(settings.get("tls_version", "").upper().split(","))
    evidence.expect(looked_at="outdated tls_version", observed=sorted(old), expected=[])
    evidence.expect(
        looked_at="accounts from afar that may log in without TLS",
        observed=[
            f"{user}@{host}"
            for user, host, kind in mysql.accounts(machine)
            if host not in LOCAL_HOSTS and kind not in TLS_KINDS
        ],
        expected=[],
    )
    app = fleet.named(inventory.role("app")[0].name)
    _expect_verified(evidence, app, tls.Look(machine.address, 3306, machine.name, starttls="mysql"))


@item("HARD-NET-4", on="cache")
def check_redis_proves_itself_and_refuses_clear_text(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory, fleet: Fleet
) -> None:
    settings = redis.settings(machine)
    evidence.expect(
        looked_at="port without TLS (CONFIG GET port)", observed=settings.get("port"), expected="0"
    )
    old = {"TLSV1", "TLSV1.1"} & set(settings.get("tls-protocols", "").upper().split())
    evidence.expect(looked_at="outdated tls-protocols", observed=sorted(old), expected=[])
    app = fleet.named(inventory.role("app")[0].name)
    _expect_verified(evidence, app, tls.Look(machine.address, 6379, machine.name))
    said = redis_in_clear(app, machine.address)
    evidence.that(
        not said.startswith(("+", "-")),
        looked_at=f"PING without TLS, from {app.name}",
        observed=said or "no answer",
        expected="no answer in Redis' language",
    )


def _expect_verified(evidence: Evidence, machine: MachineUnderCheck, look: tls.Look) -> None:
    (seen,) = tls.from_machine(machine, [look])
    evidence.that(
        seen.verified and seen.protocol in ("TLSv1.2", "TLSv1.3"),
        looked_at=f"{look}, from {machine.name}",
        observed=seen.told(),
        expected="TLS 1.2 or 1.3, chain and name verified",
    )
