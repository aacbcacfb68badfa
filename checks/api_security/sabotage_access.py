"""Breaks of who is let in, from where, and of text that is taken for something else."""

from __future__ import annotations

from collections.abc import Iterator

from checks.breaks import edge as edges
from checks.breaks import sql
from checks.gate import DidNotApply, EdgeSession, MachineUnderCheck, compliant_variant, sabotage
from checks.probes.accounts import new_email, new_password
from checks.probes.api import call

USAGE = "~ ^/api/v1/keys/[0-9a-f-]+/usage$"
NOBODYS = "/api/v1/keys/00000000-0000-4000-8000-000000000000/usage"
ALLOW = "add_header Access-Control-Allow-Origin {} always;"
EMPTY = '{"success":true,"data":{},"meta":{}}'


@sabotage("HARD-APP-1", on="lb", may_also_red=("POST-SEC-1",), reason="usage")
def the_edge_answers_a_route_without_asking(machine: MachineUnderCheck, edge: EdgeSession) -> Iterator[None]:
    """A canned 200 stands before one of the routes."""
    with edges.canned(machine, edge, USAGE, 200, EMPTY, probe=NOBODYS):
        yield


@sabotage("HARD-APP-1", on="lb", near_miss=True, reason="databases/status")
def the_edge_lends_its_own_login_to_strangers(
    machine: MachineUnderCheck, edge: EdgeSession
) -> Iterator[None]:
    """The service still asks; the edge answers for everybody who comes to one route with nothing."""
    person = {"email": new_email("lent"), "password": new_password(), "name": "Check lent"}
    token = call(edge, "POST", "auth/register", body=person).data["token"]
    script = (
        "python3 - $f <<'END'\n"
        "import pathlib, sys\n"
        "path = pathlib.Path(sys.argv[1]); text = path.read_text()\n"
        "start = text.index('    location / {'); end = text.index('\\n    }\\n', start) + 7\n"
        "block = text[start:end].replace('location / {', 'location = /api/v1/databases/status {', 1)\n"
        f"lent = 'proxy_set_header Authorization \"Bearer {token}\";'\n"
        "block = block.replace('proxy_set_header Host', lent + ' proxy_set_header Host', 1)\n"
        "path.write_text(text[:start] + block + text[start:])\n"
        "END"
    )
    with edges.rewritten(machine, script, shows="location = /api/v1/databases/status {"):
        if call(edge, "GET", "databases/status").status != 200:
            raise DidNotApply("a stranger is still refused")
        yield


@sabotage("POST-SEC-1", on="db1", near_miss=True, reason="logout")
def logging_out_answers_well_and_ends_nothing(machine: MachineUnderCheck) -> Iterator[None]:
    """The revoked token is stored under another id: the real one lives on."""
    with sql.trigger(machine, "BEFORE INSERT ON revoked_tokens", "SET NEW.token_id = UUID()"):
        yield


@sabotage(
    "POST-SEC-1",
    on="lb",
    may_also_red=("HARD-APP-1", "POST-FUNC-2", "HARD-APP-3", "INF-LB-5"),
    reason="auth/profile",
)
def the_edge_answers_a_users_page_for_everybody(
    machine: MachineUnderCheck, edge: EdgeSession
) -> Iterator[None]:
    """A canned profile."""
    with edges.canned(machine, edge, "= /api/v1/auth/profile", 200, EMPTY, probe="/api/v1/auth/profile"):
        yield


@sabotage("PRE-SEC-6", on="lb", reason="evil")
def every_origin_is_reflected(machine: MachineUnderCheck) -> Iterator[None]:
    """The edge takes the answer into its own hands and allows whoever asks."""
    with edges.rewritten(machine, _own_permission("$http_origin"), shows=ALLOW.format("$http_origin")):
        yield


@sabotage("PRE-SEC-6", on="lb", near_miss=True, reason="evil-|sub\\.")
def an_origin_is_allowed_that_only_ends_alike(machine: MachineUnderCheck) -> Iterator[None]:
    """The pattern lacks its anchor: https://evil-console… matches as well."""
    pattern = '"~^https://.*console[.][a-z.]+internal$" $http_origin;'
    chosen = f'map $http_origin $launchgate_break {{ default ""; {pattern} }}'
    script = f"{_own_permission('$launchgate_break')} && sed -i '1i {chosen}' $f"
    with edges.rewritten(machine, script, shows=ALLOW.format("$launchgate_break")):
        yield


def _own_permission(value: str) -> str:
    """Shell that has the edge say which origin is allowed, in place of the service."""
    hide = "proxy_hide_header Access-Control-Allow-Origin;"
    return (
        f"sed -i -e 's/^    gzip on;/    {ALLOW.format(value)}\\n&/' "
        f"-e 's/^        proxy_pass https:.*/&\\n        {hide}/' $f"
    )


@sabotage("HARD-APP-3", on="db1", near_miss=True, reason="500|503|register")
def a_quote_in_a_name_breaks_the_statement(machine: MachineUnderCheck) -> Iterator[None]:
    """What a statement glued together from text does: it fails at the first quote."""
    body = "IF NEW.name LIKE '%''%' THEN SIGNAL SQLSTATE '45000'; END IF"
    with sql.trigger(machine, "BEFORE INSERT ON users", body):
        yield


@sabotage("HARD-APP-3", on="db1", may_also_red=("PRE-DB-1", "HARD-NET-2"), reason="rights")
def the_services_account_may_read_files(machine: MachineUnderCheck) -> Iterator[None]:
    """FILE on the server for the account that answers strangers."""
    account = sql.run(
        machine, "SELECT CONCAT(QUOTE(user), '@', QUOTE(host)) FROM mysql.user WHERE user = 'search_app'"
    )[0][0]
    with sql.changed(
        machine,
        f"GRANT FILE ON *.* TO {account}",
        f"REVOKE FILE ON *.* FROM {account}",
        shows="SELECT 1 FROM information_schema.user_privileges WHERE privilege_type = 'FILE' "
        "AND grantee LIKE '\\'search_app\\'%'",
    ):
        yield


@compliant_variant("HARD-APP-1", on="lb")
def the_edge_refuses_a_route_by_itself(machine: MachineUnderCheck, edge: EdgeSession) -> Iterator[None]:
    """Health is answered in another place of the configuration, unchanged."""
    script = (
        "sed -i 's/    location = .metrics {/    location = \\/health\\/launchgate { return 404; }\\n&/' $f"
    )
    with edges.rewritten(machine, script, shows="location = /health/launchgate"):
        if edge.get("/health/launchgate").status_code != 404:
            raise DidNotApply("the new location does not answer")
        yield
