"""What the components would write, for every role, with every value filled in."""

import base64
import configparser
import dataclasses
import gzip
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from search_api.documentation.page import CONTENT_POLICY
from search_api.settings import Settings as ServiceSettings

from checks.probes.security_headers import HSTS, REQUIRED, faults
from infra.components.app.deploy import wanted_files
from infra.components.app.settings import environment, secret_names
from infra.components.firewall.deploy import rules
from infra.components.metrics.deploy import prometheus_files
from infra.components.mysql import deploy as mysql
from infra.components.mysql.accounts import accounts_sql, observe_sql, strangers_sql
from infra.components.mysql.replication import replica_script, replica_seen
from infra.components.mysql.server import SERVERS
from infra.components.nginx import landing
from infra.components.nginx.deploy import DOCS_POLICY
from infra.components.nginx.deploy import configuration as nginx_files
from infra.components.redis.deploy import configuration as redis_files
from infra.components.rendering import render
from infra.components.target import Target
from infra.components.tls.deploy import certificate_files
from infra.operations.files import File, Wanted
from inventories.schema import Inventory

At = Callable[..., Target]


def texts(wanted: list[Wanted]) -> dict[str, str]:
    """Path to content, without what is compressed."""
    return {
        item.path: item.body.decode()
        for item in wanted
        if isinstance(item, File) and not item.path.endswith(".gz")
    }


def one(wanted: list[Wanted], path: str) -> File:
    """The file of that path."""
    return next(item for item in wanted if isinstance(item, File) and item.path == path)


def test_a_missing_value_is_an_error_and_no_empty_string() -> None:
    with pytest.raises(UndefinedError):
        render("redis", "redis-operator.j2", name="cache1")


def test_the_firewall_drops_what_no_flow_names(at: At) -> None:
    here = at("db")
    text = rules(here.inventory, here.machine)
    assert "policy drop" in text
    accepted = re.findall(r"tcp dport (\d+) accept", text)
    assert set(accepted) == {"22", "3306", "9100"}
    apps = ", ".join(machine.address for machine in here.inventory.role("app"))
    assert f"ip saddr {{ {apps} }} tcp dport 3306 accept" in text
    assert not re.search(r"^ *tcp dport", text, re.MULTILINE)


def test_the_balancer_is_open_to_anyone_on_its_two_ports(at: At) -> None:
    here = at("lb")
    text = rules(here.inventory, here.machine)
    assert re.findall(r"^ *tcp dport (\d+) accept", text, re.MULTILINE) == ["443", "80"]


def test_ipv6_sources_get_rules_of_their_own(at: At) -> None:
    here = at("lb")
    settings = here.settings.model_copy(update={"control_addresses": ("2001:db8::/64", "198.51.100.0/28")})
    text = rules(dataclasses.replace(here.inventory, settings=settings), here.machine)
    assert "ip saddr { 198.51.100.0/28 } tcp dport 22 accept" in text
    assert "ip6 saddr { 2001:db8::/64 } tcp dport 22 accept" in text


@pytest.mark.parametrize(("codename", "directive"), [("bookworm", False), ("trixie", True)])
def test_the_edge_speaks_http2_in_the_words_of_its_release(at: At, codename: str, directive: bool) -> None:
    edge = texts(nginx_files(at("lb"), codename))["/etc/nginx/conf.d/edge.conf"]
    assert ("http2 on;" in edge) is directive
    assert ("ssl http2;" in edge) is not directive


def test_the_edge_verifies_every_app_machine_and_hides_what_is_internal(at: At) -> None:
    here = at("lb")
    edge = texts(nginx_files(here, "bookworm"))["/etc/nginx/conf.d/edge.conf"]
    for app in here.inventory.role("app"):
        assert f"server {app.address}:8443 max_fails=0;" in edge
    assert "proxy_ssl_verify on;" in edge
    assert f"proxy_ssl_name app.{here.settings.domain};" in edge
    assert re.search(r"location = /metrics \{\s*return 404;", edge)
    assert re.search(r"location = /health/detailed \{\s*return 404;", edge)
    assert "non_idempotent" not in re.sub(r"#.*", "", edge)


def place(configuration: str, name: str) -> str:
    """The body of a location, up to the brace that closes it."""
    return configuration.split(f"    location {name} {{\n", 1)[1].split("\n    }\n", 1)[0]


def test_the_front_page_is_one_file_with_a_compressed_twin(at: At) -> None:
    wanted = nginx_files(at("lb"), "bookworm")
    page, packed = one(wanted, landing.PAGE), one(wanted, f"{landing.PAGE}.gz")
    assert gzip.decompress(packed.body) == page.body
    assert len(packed.body) < len(page.body) * 0.6
    assert one(nginx_files(at("lb"), "bookworm"), f"{landing.PAGE}.gz").body == packed.body
    text = page.body.decode()
    # Nothing from elsewhere: no address of another host, no file beside it, no handler that a policy would refuse.
    assert not re.search(r"https?://|<link|<img|<script [^>]*src|\son[a-z]+=|style=", text)
    for link in ("/api/v1/docs", "/api/v1/openapi.json", "/api/v1/status"):
        assert f'href="{link}"' in text
    assert not [path for path in texts(nginx_files(at("app"), "bookworm")) if path.startswith(landing.FOLDER)]


def test_the_front_page_is_sent_from_the_file_and_may_be_kept(at: At) -> None:
    edge = texts(nginx_files(at("lb"), "bookworm"))["/etc/nginx/conf.d/edge.conf"]
    front = place(edge, "= /")
    for line in (
        "try_files /landing.html =404;",
        "gzip_static on;",
        'Cache-Control "public, max-age=300" always;',
    ):
        assert line in front
    assert f"root {landing.FOLDER};" in front
    assert "proxy_pass" not in front, "it answers when nothing behind does"
    assert "etag off" not in edge


def test_each_place_says_every_header_and_its_own_policy(at: At) -> None:
    edge = texts(nginx_files(at("lb"), "bookworm"))["/etc/nginx/conf.d/edge.conf"]
    rest = edge.split("    ssl_certificate_key", 1)[1]
    policies = []
    for text in (rest.split("    gzip on;", 1)[0], place(edge, "= /"), place(edge, "/api/v1/docs")):
        headers = dict(re.findall(r'add_header (\S+) "?(.*?)"? always;', text))
        headers.pop("Cache-Control", None)
        assert {name.lower() for name in headers} == {*REQUIRED, HSTS, "x-request-id"}
        assert faults({name.lower(): [value] for name, value in headers.items()}, 31_536_000) == []
        policies.append(headers["Content-Security-Policy"])
    assert len(set(policies)) == 3
    assert policies[0] == "default-src 'none'; frame-ancestors 'none'"
    assert policies[1].count("'sha256-") == 2
    assert policies[2] == DOCS_POLICY == CONTENT_POLICY
    assert place(edge, "/api/v1/docs").split("proxy_pass", 1)[1] == place(edge, "/").split("proxy_pass", 1)[1]


def test_the_policys_hashes_are_those_of_the_page(at: At) -> None:
    text = one(nginx_files(at("lb"), "bookworm"), landing.PAGE).body.decode()
    for element in ("script", "style"):
        (inside,) = re.findall(f"<{element}>(.*?)</{element}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in landing.content_policy()


def test_the_slots_door_keeps_no_connection_and_follows_the_link(at: At) -> None:
    written = texts(nginx_files(at("app"), "bookworm"))
    door = written["/etc/nginx/search-api-slot.conf"]
    assert "unix:/run/search-api/active/http.sock" in door
    assert "proxy_set_header Connection close;" in door
    assert "keepalive" not in re.sub(r"#.*", "", door)
    app = written["/etc/nginx/conf.d/app.conf"]
    assert re.search(r"location = /metrics \{[^}]*deny all;", app)


def test_keys_are_readable_by_their_server_only(at: At) -> None:
    for role, server, owner in (
        ("app", "nginx", "root"),
        ("db", "mysql", "mysql"),
        ("cache", "redis", "redis"),
    ):
        wanted = certificate_files(at(role))
        keys = [item for item in wanted if isinstance(item, File) and item.path.endswith(".key")]
        assert [(key.path, key.mode, key.owner) for key in keys] == [
            (f"/etc/ssl/launchgate/{server}.key", "400", f"{owner}:{owner}")
        ]
    edge = one(certificate_files(at("lb")), "/etc/ssl/launchgate/edge.key")
    assert (edge.mode, edge.owner) == ("400", "root:root")
    assert not [path for path in texts(certificate_files(at("ops"))) if path.endswith(".key")]


@pytest.mark.parametrize("flavour", ["mariadb", "mysql"])
def test_the_database_listens_on_its_address_over_tls_and_keeps_a_binary_log(at: At, flavour: str) -> None:
    primary, replica, customer = at("db", 0, flavour), at("db", 1, flavour), at("customer", 0, flavour)
    read = {}
    for here in (primary, replica, customer):
        server = SERVERS[here.flavour]
        parser = configparser.ConfigParser(allow_no_value=True)
        parser.read_string(texts(mysql.configuration(here, server))[server.config])
        read[here.machine.name] = dict(parser["mysqld"])
        assert read[here.machine.name]["bind_address"] == here.machine.address
        assert read[here.machine.name]["require_secure_transport"] == "ON"
    ids = {values["server_id"] for values in read.values()}
    assert len(ids) == 3
    assert read[primary.machine.name]["sync_binlog"] == "1"
    assert "read_only" not in read[primary.machine.name]
    assert read[replica.machine.name]["read_only"] == "ON"
    assert "log_bin" not in read[customer.machine.name]
    gtid = "gtid_strict_mode" if flavour == "mariadb" else "gtid_mode"
    assert read[primary.machine.name][gtid] == "ON"


def test_accounts_come_from_app_machines_only_over_tls_and_with_few_rights(at: At) -> None:
    here = at("db")
    accounts = mysql.service_accounts(here)
    addresses = {account.user: set[str]() for account in accounts}
    for account in accounts:
        addresses[account.user].add(account.address)
        assert all("ALL PRIVILEGES" not in grant and "GRANT OPTION" not in grant for grant in account.grants)
    apps = {machine.address for machine in here.inventory.role("app")}
    assert addresses == {
        "search_app": apps,
        "search_migrate": apps,
        "replica": {here.inventory.role("db")[1].address},
    }
    app = next(account for account in accounts if account.user == "search_app")
    assert app.grants == ("SELECT, INSERT, UPDATE, DELETE ON `search_api`.*",)
    assert all(
        account.grants == ("SELECT ON `packages`.*",) for account in mysql.customer_accounts(at("customer"))
    )


def test_mariadb_never_sees_a_password_that_its_binary_log_would_repeat(at: At) -> None:
    here = at("db")
    sql = accounts_sql(SERVERS["mariadb"], "search_api", mysql.service_accounts(here))
    for secret in here.secrets.values():
        assert secret not in sql
    password = here.secrets["database_password"].encode()
    digest = hashlib.sha1(hashlib.sha1(password).digest()).hexdigest().upper()  # noqa: S324 (MariaDB's own)
    assert f"*{digest}" in sql
    users = [line for line in sql.splitlines() if line.startswith(("CREATE USER", "ALTER USER"))]
    assert users
    assert all(line.endswith("REQUIRE SSL;") for line in users)


def test_mysql_gets_its_own_plugin(at: At) -> None:
    accounts = mysql.service_accounts(at("db", 0, "mysql"))
    assert "IDENTIFIED WITH caching_sha2_password BY" in accounts_sql(
        SERVERS["mysql"], "search_api", accounts
    )


def test_accounts_of_the_same_names_from_elsewhere_are_dropped(at: At) -> None:
    accounts = mysql.service_accounts(at("db"))
    query = strangers_sql(["search_app"], accounts)
    assert "'search_app@192.0.2.21'" in query
    assert "NOT IN" in query
    assert "authentication_string" in observe_sql(["search_app"], "search_api")


@pytest.mark.parametrize("flavour", ["mariadb", "mysql"])
def test_replication_is_by_gtid_over_verified_tls_and_its_secret_stays_on_standard_input(
    flavour: str,
) -> None:
    server = SERVERS["mariadb" if flavour == "mariadb" else "mysql"]
    script, statements = replica_script(server, "db1", "the password", "/ca.crt")
    assert "the password" not in script
    assert "the password" in statements
    assert "SSL_VERIFY_SERVER_CERT=1" in statements
    assert "slave_pos" in statements or "AUTO_POSITION=1" in statements
    # What changes by itself (positions, "…_State: waiting") must not look like a change.
    pattern = re.search(r"grep -E '(.*)'", replica_seen(server))
    assert pattern
    assert re.search(pattern[1], "   Slave_SQL_Running: Yes") or flavour == "mysql"
    assert not re.search(pattern[1], "   Slave_SQL_Running_State: Slave has read all relay log")
    assert not re.search(pattern[1], "   Read_Master_Log_Pos: 345")


def test_redis_takes_tls_and_named_users_only(at: At) -> None:
    here = at("cache")
    written = texts(redis_files(here))
    config = dict(
        line.split(" ", 1)
        for line in written["/etc/redis/redis.conf"].splitlines()
        if line and line[0] != "#"
    )
    assert config["port"] == "0"
    assert config["tls-port"] == "6379"
    assert config["maxmemory"] == f"{here.settings.redis_maxmemory_mb}mb"
    users = written["/etc/redis/users.acl"].splitlines()
    assert users[0].startswith("user default off")
    assert "nopass" not in written["/etc/redis/users.acl"]
    assert here.secrets["redis_password"] not in written["/etc/redis/users.acl"]
    app = next(line for line in users if line.startswith("user search_app"))
    assert "-@admin" in app
    assert "-@dangerous" in app


def test_the_service_knows_every_variable_that_it_is_given(at: At) -> None:
    known = {f"SEARCH_API_{name.upper()}" for name in ServiceSettings.model_fields}
    given = environment(at("app"))
    assert set(given) <= known
    unit = texts(wanted_files(at("app")))["/etc/systemd/system/search-api@.service"]
    assert set(re.findall(r"Environment=(SEARCH_API_[A-Z_]+)=", unit)) <= known
    assert {f"SEARCH_API_{name.upper()}" for name in secret_names(at("app"))} <= known


def test_secrets_are_credentials_and_never_environment(at: At) -> None:
    here = at("app")
    wanted = wanted_files(here)
    names = secret_names(here)
    for name in names:
        credential = one(wanted, f"/etc/search-api/credentials/{name}")
        assert (credential.mode, credential.owner) == ("400", "root:root")
        assert credential.body.decode().strip() == here.secrets[name]
    for path, text in texts(wanted).items():
        if "/credentials/" not in path:
            assert not [name for name in names if here.secrets[name] in text], path


def test_all_units_load_each_secret_and_are_sandboxed_alike(at: At) -> None:
    written = texts(wanted_files(at("app")))
    for path in ("search-api@.service", "search-api-migrate@.service", "search-api-purge.service"):
        unit = written[f"/etc/systemd/system/{path}"]
        for name in secret_names(at("app")):
            assert f"LoadCredential={name}:/etc/search-api/credentials/{name}" in unit
        for line in (
            "ProtectSystem=strict",
            "NoNewPrivileges=yes",
            "CapabilityBoundingSet=",
            "PrivateUsers=yes",
        ):
            assert f"\n{line}\n" in unit


def test_retention_runs_the_active_release_every_night(at: At) -> None:
    written = texts(wanted_files(at("app")))
    unit = written["/etc/systemd/system/search-api-purge.service"]
    # A doubled dollar sign is the shell's, not systemd's.
    line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    assert "$$(readlink /srv/search-api/active)/venv/bin/search-api\" purge'" in line
    timer = written["/etc/systemd/system/search-api-purge.timer"]
    assert "OnCalendar=*-*-* 02:30:00 UTC\n" in timer
    assert "Persistent=true\n" in timer


def test_an_ai_brings_its_settings_its_key_and_its_ca(fleet: Inventory, tmp_path: Path) -> None:
    ca = tmp_path / "ai.pem"
    ca.write_text("a certificate\n")
    told = {"ai_base_url": "https://ai.example/v1", "ai_ca_file": ca, "ai_embedding_dimensions": 384}
    for changes, has_ai in ((told, True), ({"ai_base_url": None, "ai_ca_file": None}, False)):
        settings = fleet.settings.model_copy(update=changes)
        here = Target(dataclasses.replace(fleet, settings=settings), fleet.role("app")[0])
        wanted = wanted_files(here)
        given = {name: value for name, value in environment(here).items() if "_AI_" in name}
        assert ("ai_api_key" in secret_names(here)) is has_ai
        assert ("/etc/search-api/credentials/ai_api_key" in texts(wanted)) is has_ai
        assert (
            "LoadCredential=ai_api_key:" in texts(wanted)["/etc/systemd/system/search-api@.service"]
        ) is has_ai
        if has_ai:
            assert one(wanted, "/etc/search-api/ai-ca.crt").body == b"a certificate\n"
            assert given == {
                "SEARCH_API_AI_BASE_URL": "https://ai.example/v1",
                "SEARCH_API_AI_TLS_CA": "/etc/search-api/ai-ca.crt",
                "SEARCH_API_AI_EMBEDDING_DIMENSIONS": "384",
                "SEARCH_API_AI_HOSTS": "2",
            }
        else:
            assert given == {}


def test_prometheus_reads_every_machine(at: At) -> None:
    here = at("ops")
    config = texts(prometheus_files(here))["/etc/prometheus/prometheus.yml"]
    for machine in here.inventory.machines:
        assert f'"{machine.address}:9100"' in config
    for machine in here.inventory.role("app"):
        assert f'"{machine.address}:8443"' in config


def test_every_neighbour_has_a_name(at: At) -> None:
    here = at("app")
    hosts = render("host", "hosts.j2", machine=here.machine, inventory=here.inventory)
    for machine in here.inventory.machines:
        assert f"{machine.address} {machine.name}\n" in hosts
    assert f"{here.inventory.edge_address} {here.settings.domain}\n" in hosts
