"""Headers that are in the file and not on the answer."""

from __future__ import annotations

from collections.abc import Iterator

from checks.breaks import edge as broken_edge
from checks.gate import MachineUnderCheck, compliant_variant, sabotage

ELSEWHERE = ("HARD-APP-4",)


@sabotage(
    "PRE-SEC-7",
    on="lb",
    near_miss=True,
    also_red=("POST-SEC-4", "PRE-SEC-3"),
    may_also_red=ELSEWHERE,
    reason="location /",
)
def a_location_with_a_header_of_its_own_loses_all_others(machine: MachineUnderCheck) -> Iterator[None]:
    """Somebody moved one header into the location; NGINX inherits add_header only where a block has none itself."""
    script = (
        "sed -i 's#^        proxy_pass https://search_api;#"
        "        add_header X-Request-Id $request_name always;\\n&#' $f"
    )
    with broken_edge.rewritten(machine, script, shows="        add_header X-Request-Id"):
        yield


@sabotage("PRE-SEC-7", on="lb", also_red=("POST-SEC-4",), may_also_red=ELSEWHERE, reason="x-frame-options")
def a_header_is_only_on_good_answers(machine: MachineUnderCheck) -> Iterator[None]:
    """Without "always" every error may be framed."""
    script = "sed -i 's/\\(add_header X-Frame-Options \"DENY\"\\) always;/\\1;/' $f"
    with broken_edge.rewritten(machine, script, shows='X-Frame-Options "DENY";'):
        yield


@compliant_variant("PRE-SEC-7", on="lb")
def headers_are_repeated_in_the_location(machine: MachineUnderCheck) -> Iterator[None]:
    """A location with headers of its own that repeats all others loses nothing."""
    script = (
        "h=$(grep '^    add_header' $f | sed 's/^/    /' | sed ':a;N;$!ba;s/\\n/\\\\n/g'); "
        'sed -i "s|^        proxy_pass https://search_api;|        # repeated\\n$h\\n&|" $f'
    )
    with broken_edge.rewritten(machine, script, shows="# repeated"):
        yield


@sabotage(
    "POST-SEC-4", on="lb", also_red=("PRE-SEC-7",), may_also_red=ELSEWHERE, reason="x-content-type-options"
)
def a_header_is_missing(machine: MachineUnderCheck) -> Iterator[None]:
    """Browsers guess types again."""
    script = "sed -i 's/^    add_header X-Content-Type-Options.*/    # guess/' $f"
    with broken_edge.rewritten(machine, script, shows="# guess"):
        yield


@sabotage("POST-SEC-4", on="lb", near_miss=True, may_also_red=ELSEWHERE, reason="sent 2 times|versions told")
def a_second_answer_contradicts_the_first(machine: MachineUnderCheck) -> Iterator[None]:
    """The edge's header is right; what the service sends beside it is not taken off any more."""
    script = (
        "sed -i 's/^        proxy_hide_header \\(X-Frame-Options\\|Content-Security-Policy\\|Referrer-Policy\\|"
        "X-Content-Type-Options\\|Permissions-Policy\\|Strict-Transport-Security\\);/        # \\1 comes through/' $f"
    )
    with broken_edge.rewritten(machine, script, shows="X-Frame-Options comes through"):
        yield


@compliant_variant("POST-SEC-4", on="lb")
def our_own_pages_may_frame_each_other(machine: MachineUnderCheck) -> Iterator[None]:
    """SAMEORIGIN and 'self' keep strangers out as well."""
    script = (
        'sed -i \'s/X-Frame-Options "DENY"/X-Frame-Options "SAMEORIGIN"/\' $f; '
        "sed -i \"s/frame-ancestors 'none'/frame-ancestors 'self'/\" $f"
    )
    with broken_edge.rewritten(machine, script, shows="SAMEORIGIN"):
        yield
