"""Balancers that look right in their files, or almost."""

from __future__ import annotations

from collections.abc import Iterator

from checks.breaks import edge as broken_edge
from checks.breaks.files import edited
from checks.gate import DidNotApply, MachineUnderCheck, compliant_variant, sabotage

MAIN = "/etc/nginx/nginx.conf"


@sabotage("INF-LB-1", on="lb", reason="at boot")
def the_proxy_does_not_come_back_after_a_boot(machine: MachineUnderCheck) -> Iterator[None]:
    """It runs and serves; after the next boot it will not."""
    machine.must("systemctl disable --quiet nginx", sudo=True)
    if machine.run("systemctl is-enabled nginx").stdout.strip() != "disabled":
        raise DidNotApply("nginx is still enabled")
    yield
    machine.must("systemctl enable --quiet nginx", sudo=True)


@sabotage("INF-LB-1", on="lb", near_miss=True, reason="not reloaded")
def a_valid_change_was_never_loaded(machine: MachineUnderCheck) -> Iterator[None]:
    """`nginx -t` and `nginx -T` are content; the workers know nothing of what they show."""
    with edited(
        machine, broken_edge.SITE, "sleep 1.1; echo '# a change of mind' >>$f", shows="a change of mind"
    ):
        yield
    machine.must(broken_edge.RELOAD, sudo=True)


@compliant_variant("INF-LB-1", on="lb")
def a_change_was_loaded(machine: MachineUnderCheck) -> Iterator[None]:
    """The same change with a reload after it is no fault."""
    with broken_edge.rewritten(machine, "echo '# a change of mind' >>$f", shows="a change of mind"):
        yield


@sabotage("INF-LB-2", on="lb", reason="tls1")
def old_protocols_are_spoken_again(machine: MachineUnderCheck) -> Iterator[None]:
    """For the sake of one old client, TLS 1.0 and 1.1 are back for everyone."""
    script = (
        "sed -i 's/ssl_protocols [^;]*/ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3/; "
        "s/ssl_ciphers [^;]*/&:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:@SECLEVEL=0/' $f"
    )
    with broken_edge.rewritten(machine, script, shows="TLSv1 TLSv1.1", path=MAIN):
        yield


@sabotage("INF-LB-2", on="lb", near_miss=True, reason="tls1_2")
def one_weak_cipher_is_among_the_strong(machine: MachineUnderCheck) -> Iterator[None]:
    """Protocols are right and clients prefer the strong; whoever insists gets CBC without authentication."""
    script = "sed -i 's/ssl_ciphers [^;]*/&:ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384/' $f"
    with broken_edge.rewritten(machine, script, shows="ECDHE-RSA-AES256-SHA384", path=MAIN):
        yield


@compliant_variant("INF-LB-2", on="lb")
def only_the_newest_protocol_is_spoken(machine: MachineUnderCheck) -> Iterator[None]:
    """TLS 1.3 alone is stricter than asked."""
    script = "sed -i 's/ssl_protocols [^;]*/ssl_protocols TLSv1.3/' $f"
    with broken_edge.rewritten(machine, script, shows="ssl_protocols TLSv1.3;", path=MAIN):
        yield


@sabotage("INF-LB-3", on="lb", reason="proxy_next_upstream in")
def a_failed_attempt_is_not_passed_on(machine: MachineUnderCheck) -> Iterator[None]:
    """Half of all requests fail while one app machine is dead."""
    script = "sed -i 's/proxy_next_upstream error timeout;/proxy_next_upstream off;/' $f"
    with broken_edge.rewritten(machine, script, shows="proxy_next_upstream off;"):
        yield


@sabotage("INF-LB-3", on="lb", near_miss=True, reason="proxy_connect_timeout")
def the_dead_are_waited_for(machine: MachineUnderCheck) -> Iterator[None]:
    """The next machine is tried, after a minute."""
    script = "sed -i 's/proxy_connect_timeout 2s;/proxy_connect_timeout 60s;/' $f"
    with broken_edge.rewritten(machine, script, shows="proxy_connect_timeout 60s;"):
        yield


@sabotage("INF-LB-3", on="lb", near_miss=True, reason="proxy_next_upstream in")
def requests_with_effect_are_sent_twice(machine: MachineUnderCheck) -> Iterator[None]:
    """Passing on works, for POST as well: some things are then done twice."""
    script = (
        "sed -i 's/proxy_next_upstream error timeout;/proxy_next_upstream error timeout non_idempotent;/' $f"
    )
    with broken_edge.rewritten(machine, script, shows="non_idempotent"):
        yield


@compliant_variant("INF-LB-3", on="lb")
def more_kinds_of_failure_are_passed_on(machine: MachineUnderCheck) -> Iterator[None]:
    """A 503 of one machine may be answered by the next as well."""
    script = "sed -i 's/proxy_next_upstream error timeout;/proxy_next_upstream error timeout http_503;/' $f"
    with broken_edge.rewritten(machine, script, shows="timeout http_503"):
        yield


@sabotage("INF-LB-4", on="lb", reason="stickiness")
def clients_are_tied_by_their_address(machine: MachineUnderCheck) -> Iterator[None]:
    """One big customer behind one address gets one machine."""
    with broken_edge.rewritten(machine, "sed -i 's/least_conn;/ip_hash;/' $f", shows="ip_hash;"):
        yield


@sabotage("INF-LB-4", on="lb", near_miss=True, reason="stickiness")
def clients_are_tied_by_a_cookie(machine: MachineUnderCheck) -> Iterator[None]:
    """Requests without the cookie are spread well; browsers with it stay where they were."""
    script = "sed -i 's/least_conn;/hash $cookie_route consistent;/' $f"
    with broken_edge.rewritten(machine, script, shows="hash $cookie_route"):
        yield


@compliant_variant("INF-LB-4", on="lb")
def requests_are_dealt_in_turn(machine: MachineUnderCheck) -> Iterator[None]:
    """Round robin, NGINX's own default, ties nobody to anything."""
    with broken_edge.rewritten(machine, "sed -i 's/least_conn;/# in turn/' $f", shows="# in turn"):
        yield


@sabotage("INF-LB-5", on="lb", near_miss=True, also_red=("INF-LB-4",), reason="servers that take requests")
def one_app_machine_is_listed_but_down(machine: MachineUnderCheck) -> Iterator[None]:
    """Both machines are in the upstream; the second was marked down for an evening and forgotten."""
    script = "sed -i '0,/:8443 max_fails=0;/s//:8443 max_fails=0 down;/' $f"
    with broken_edge.rewritten(machine, script, shows="max_fails=0 down;"):
        yield


@sabotage("INF-LB-5", on="lb", reason="/metrics")
def metrics_are_shown_to_the_world(machine: MachineUnderCheck) -> Iterator[None]:
    """The location that closes /metrics is misspelt, so that requests for it are handed on."""
    with broken_edge.rewritten(
        machine, "sed -i 's#location = /metrics {#location = /metric {#' $f", shows="= /metric {"
    ):
        yield


@sabotage("INF-LB-5", on="lb", near_miss=True, reason="/api/v1/keys")
def one_path_leads_nowhere(machine: MachineUnderCheck) -> Iterator[None]:
    """A location left over from maintenance answers 401, the right status, for the service."""
    script = (
        "sed -i 's#    location = /metrics {#    location /api/v1/keys { return 401; }\\n&#' $f"
    )  # fmt: skip
    with broken_edge.rewritten(machine, script, shows="location /api/v1/keys {"):
        yield


@compliant_variant("INF-LB-5", on="lb")
def upstreams_have_weights(machine: MachineUnderCheck) -> Iterator[None]:
    """Weights and failure rules change how requests are spread, not where they may go."""
    script = "sed -i 's/:8443 max_fails=0;/:8443 weight=2 max_fails=0;/' $f"
    with broken_edge.rewritten(machine, script, shows="weight=2"):
        yield


@sabotage("INF-LB-6", on="lb", may_also_red=("PERF-APP-4",), reason="gzip")
def compression_is_off(machine: MachineUnderCheck) -> Iterator[None]:
    """Everything goes out as it is."""
    with broken_edge.rewritten(machine, "sed -i 's/gzip on;/gzip off;/' $f", shows="gzip off;"):
        yield


@sabotage("INF-LB-6", on="lb", near_miss=True, may_also_red=("PERF-APP-4",), reason="gzip_types")
def json_is_not_among_the_types(machine: MachineUnderCheck) -> Iterator[None]:
    """gzip is on, for web pages; this service has none."""
    script = "sed -i 's#gzip_types application/json application/problem+json#gzip_types#' $f"
    with broken_edge.rewritten(machine, script, shows="gzip_types text/plain"):
        yield


@compliant_variant("INF-LB-6", on="lb")
def every_type_is_compressed(machine: MachineUnderCheck) -> Iterator[None]:
    """`gzip_types *` names JSON too."""
    with broken_edge.rewritten(
        machine, "sed -i 's#gzip_types [^;]*;#gzip_types *;#' $f", shows="gzip_types *;"
    ):
        yield
