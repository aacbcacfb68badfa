"""Breaks of what users come for: in the service's tables, at the edge, and in the customer's database."""

from __future__ import annotations

from collections.abc import Iterator

from checks.breaks import edge as edges
from checks.breaks import files, sql
from checks.gate import DidNotApply, EdgeSession, MachineUnderCheck, compliant_variant, sabotage
from checks.probes import slots
from checks.probes.accounts import CUSTOMER_DATABASE

# Everything that needs a user of its own, or a key, or a connection: without one it cannot be seen to work.
NEED_A_USER = (
    "POST-FUNC-2", "POST-FUNC-3", "POST-FUNC-4", "POST-FUNC-5", "POST-SEC-1", "APP-KEY-1", "PRE-SEC-1", "PRE-SEC-2",
    "HARD-APP-1", "HARD-APP-3", "PERF-APP-4", "PERF-DB-1", "PERF-DB-2",
)  # fmt: skip
NEED_A_KEY = tuple(one for one in NEED_A_USER if one not in ("POST-FUNC-2", "POST-FUNC-4"))
NEED_THE_CUSTOMER = (
    "POST-FUNC-4", "POST-FUNC-5", "POST-SEC-1", "PRE-SEC-2", "HARD-APP-3", "PERF-APP-4", "PERF-DB-1", "PERF-DB-2",
)  # fmt: skip


@sabotage("POST-FUNC-1", on="app2", may_also_red=("INF-LB-3", "INF-MON-6"), reason="503|not_ready")
def a_machine_drains_and_nobody_noticed(machine: MachineUnderCheck) -> Iterator[None]:
    """The file that takes a slot out of service was left behind."""
    path = f"/run/search-api/{slots.active_slot(machine).name}/drain"
    with files.added(machine, path, ""):
        yield


@sabotage(
    "POST-FUNC-1", on="lb", near_miss=True, may_also_red=("INF-LB-3", "INF-MON-6"), reason="lacks|fields"
)
def the_edge_says_ok_whatever_the_machines_say(
    machine: MachineUnderCheck, edge: EdgeSession
) -> Iterator[None]:
    """A canned 200 for readiness: monitors are content, and nothing is behind it."""
    with edges.canned(machine, edge, "= /health/ready", 200, '{"status":"ok"}', probe="/health/ready"):
        yield


@sabotage("POST-FUNC-2", on="db1", may_also_red=NEED_A_USER, reason="auth/register")
def nobody_can_register(machine: MachineUnderCheck) -> Iterator[None]:
    """The database refuses new users."""
    with sql.trigger(machine, "BEFORE INSERT ON users", "SIGNAL SQLSTATE '45000'"):
        yield


@sabotage("POST-FUNC-2", on="db1", near_miss=True, may_also_red=NEED_A_USER, reason="auth/")
def registration_answers_well_but_nobody_gets_in(machine: MachineUnderCheck) -> Iterator[None]:
    """New users are stored as inactive: 201 and a token, and no login ever."""
    with sql.trigger(machine, "BEFORE INSERT ON users", "SET NEW.is_active = 0"):
        yield


@sabotage("POST-FUNC-3", on="db1", may_also_red=NEED_A_KEY, reason="api/v1/keys")
def no_key_can_be_made(machine: MachineUnderCheck) -> Iterator[None]:
    """The database refuses new keys."""
    with sql.trigger(machine, "BEFORE INSERT ON api_keys", "SIGNAL SQLSTATE '45000'"):
        yield


@sabotage("POST-FUNC-3", on="db1", near_miss=True, may_also_red=NEED_A_KEY, reason="search|keys")
def keys_are_made_and_listed_but_never_accepted(machine: MachineUnderCheck) -> Iterator[None]:
    """The stored hash is another one: the key is shown, and opens nothing."""
    body = "SET NEW.key_hash = SHA2(CONCAT(NEW.key_hash, 'x'), 256)"
    with sql.trigger(machine, "BEFORE INSERT ON api_keys", body):
        yield


@sabotage("APP-KEY-1", on="lb", may_also_red=("HARD-APP-1", "POST-SEC-1"), reason="X-API-Key|search")
def the_edge_drops_the_other_way_to_send_a_key(machine: MachineUnderCheck) -> Iterator[None]:
    """X-API-Key does not reach the service."""
    line = 'proxy_set_header X-API-Key "";'
    with edges.rewritten(
        machine, f"sed -i 's/proxy_set_header Connection \"\";/&\\n        {line}/' $f", shows=line
    ):
        yield


@sabotage("APP-KEY-1", on="db1", near_miss=True, reason="revoked")
def a_revoked_key_goes_on_working(machine: MachineUnderCheck) -> Iterator[None]:
    """Revoking answers well, and the row stays active."""
    with sql.trigger(machine, "BEFORE UPDATE ON api_keys", "SET NEW.is_active = 1"):
        yield


@sabotage("POST-FUNC-4", on="db1", may_also_red=NEED_THE_CUSTOMER, reason="api/v1/databases")
def no_connection_can_be_stored(machine: MachineUnderCheck) -> Iterator[None]:
    """The service's database refuses new connections."""
    with sql.trigger(machine, "BEFORE INSERT ON database_connections", "SIGNAL SQLSTATE '45000'"):
        yield


@sabotage("POST-FUNC-4", on="db1", near_miss=True, may_also_red=NEED_THE_CUSTOMER, reason="test")
def a_connection_is_stored_with_a_credential_that_does_not_open(machine: MachineUnderCheck) -> Iterator[None]:
    """Connecting first went well, so the answer is 201; the stored password can never be read again."""
    body = "SET NEW.sealed_password = CONCAT('k1:', TO_BASE64(REPEAT('x', 40)))"
    with sql.trigger(machine, "BEFORE INSERT ON database_connections", body):
        yield


@sabotage(
    "POST-FUNC-5", on="customer1", may_also_red=(*NEED_THE_CUSTOMER, "APP-KEY-1"), reason="api/v1/databases"
)
def the_customer_has_locked_the_account(machine: MachineUnderCheck) -> Iterator[None]:
    """Nothing is wrong with the service; but nothing is found either."""
    names = "SELECT CONCAT(QUOTE(user), '@', QUOTE(host)) FROM mysql.user WHERE user = 'searcher'"
    accounts = [row[0] for row in sql.run(machine, names, CUSTOMER_DATABASE)]
    with sql.changed(
        machine,
        "".join(f"ALTER USER {account} ACCOUNT LOCK;" for account in accounts),
        "".join(f"ALTER USER {account} ACCOUNT UNLOCK;" for account in accounts),
        shows=f"SHOW CREATE USER {accounts[0]}",
        database=CUSTOMER_DATABASE,
    ):
        if "ACCOUNT LOCK" not in sql.run(machine, f"SHOW CREATE USER {accounts[0]}", CUSTOMER_DATABASE)[0][0]:
            raise DidNotApply(f"{accounts[0]} is not locked")
        yield


@sabotage("POST-FUNC-5", on="lb", near_miss=True, may_also_red=(*NEED_A_KEY, "INF-LB-5"), reason="search")
def every_search_finds_nothing_in_the_right_form(
    machine: MachineUnderCheck, edge: EdgeSession
) -> Iterator[None]:
    """The edge answers searches itself: 200, the envelope, and no results."""
    body = '{"success":true,"data":{"results":[],"totalCount":0,"hasMore":false},"meta":{"version":"0"}}'
    with edges.canned(machine, edge, "= /api/v1/search", 200, body, probe="/api/v1/search"):
        if edge.post("/api/v1/search", json={"query": "x"}).status_code != 200:
            raise DidNotApply("a search is still asked for its key")
        yield


@compliant_variant("POST-FUNC-5", on="customer1")
def the_customers_database_has_another_table_beside(machine: MachineUnderCheck) -> Iterator[None]:
    """A second table without any text is no reason to find less."""
    with sql.changed(
        machine,
        "CREATE TABLE figures (id INT PRIMARY KEY, amount INT NOT NULL)",
        "DROP TABLE figures",
        shows="SHOW TABLES LIKE 'figures'",
        database=CUSTOMER_DATABASE,
    ):
        yield
