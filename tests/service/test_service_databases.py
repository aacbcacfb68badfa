# ruff: noqa: S104, S608 (addresses to refuse; the tests' own ids in the tests' own statements)
import socket
from ipaddress import ip_address, ip_network

import pytest
from conftest import SEARCHER_PASSWORD
from search_api.customer import outbound
from search_api.customer.connect import CannotConnectError, Connector, Target, is_mariadb
from search_api.customer.outbound import UnknownHostError, checked_addresses, is_allowed
from search_api.errors import ApiError
from service_client import Client, Person

PATH = "/api/v1/databases"
SHOWN = {
    "id", "name", "host", "port", "database", "username", "ssl", "isActive", "lastConnected", "createdAt", "updatedAt",
}  # fmt: skip


def test_a_database_is_added_shown_changed_and_removed(client: Client, person: Person, shop, mariadb):
    made = client.data("POST", PATH, person.token, json=shop, status=201)
    assert set(made) == SHOWN
    path = f"{PATH}/{made['id']}"
    assert client.data("GET", path, person.token) == made
    assert client.data("GET", PATH, person.token) == [made]
    renamed = client.data("PUT", path, person.token, json={"name": "renamed"})
    assert (renamed["name"], renamed["lastConnected"]) == ("renamed", made["lastConnected"])
    moved = client.data("PUT", path, person.token, json={"database": "shop_b", "host": "localhost"})
    assert (moved["database"], moved["host"]) == ("shop_b", "localhost")
    assert (
        client.data("PUT", path, person.token, json={"password": SEARCHER_PASSWORD, "ssl": True})["ssl"]
        is True
    )
    assert client.data("DELETE", path, person.token) == {"success": True}
    assert client.fault("GET", path, person.token) == (404, "CONNECTION_NOT_FOUND")
    row = mariadb.run(f"SELECT * FROM search_api.database_connections WHERE id = '{made['id']}'")[0]
    assert (row["is_active"], row["sealed_password"]) == (0, None)


def test_the_password_is_sealed_and_never_returned(client: Client, person: Person, shop, mariadb):
    made = client.call("POST", PATH, person.token, json=shop)
    assert SEARCHER_PASSWORD not in made.text
    row = mariadb.run(
        f"SELECT * FROM search_api.database_connections WHERE id = '{made.json()['data']['id']}'"
    )[0]
    assert row["sealed_password"].startswith("k1:")
    assert SEARCHER_PASSWORD not in str(row)


@pytest.mark.parametrize(
    ("change", "status", "code", "words"),
    [
        ({"password": "wrong"}, 502, "CONNECTION_ERROR", "refused user name or password"),
        ({"password": "пароль"}, 502, "CONNECTION_ERROR", "refused user name or password"),
        ({"database": "search_api"}, 502, "CONNECTION_ERROR", "may not use this database"),
        ({"port": 1}, 502, "CONNECTION_ERROR", "nothing listens"),
        ({"host": "no-such-host.invalid"}, 502, "CONNECTION_ERROR", "does not resolve"),
        ({"host": "169.254.169.254"}, 403, "HOST_NOT_ALLOWED", "operator"),
        ({"host": "10.1.2.3"}, 403, "HOST_NOT_ALLOWED", "operator"),
        ({"host": "::1"}, 403, "HOST_NOT_ALLOWED", "operator"),
        ({"host": "0x7f.1/x"}, 400, "VALIDATION_ERROR", "not valid"),
        ({"port": 0}, 400, "VALIDATION_ERROR", "not valid"),
    ],
)
def test_a_database_that_cannot_be_reached_is_not_kept(client, person, shop, change, status, code, words):
    answer = client.call("POST", PATH, person.token, json=shop | change)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert words in answer.json()["error"]["message"]
    assert client.data("GET", PATH, person.token) == []


def test_a_change_that_does_not_connect_changes_nothing(client: Client, person: Person, shop):
    row = person.database(shop)
    before = client.data("GET", f"{PATH}/{row}", person.token)
    assert client.fault("PUT", f"{PATH}/{row}", person.token, json={"port": 1}) == (502, "CONNECTION_ERROR")
    assert client.fault("PUT", f"{PATH}/{row}", person.token, json={"host": "10.0.0.1"}) == (
        403,
        "HOST_NOT_ALLOWED",
    )
    assert client.data("GET", f"{PATH}/{row}", person.token) == before


def test_testing_answers_200_either_way(client: Client, person: Person, shop, mariadb):
    row = person.database(shop)
    good = client.data("POST", f"{PATH}/{row}/test", person.token)
    assert (good["connected"], good["message"]) == (True, "Connected.")
    assert good["version"] == mariadb.run("SELECT VERSION() AS v")[0]["v"]
    assert good["responseTime"] > 0
    mariadb.run(f"UPDATE search_api.database_connections SET port = 1 WHERE id = '{row}'")
    bad = client.data("POST", f"{PATH}/{row}/test", person.token)
    assert bad["connected"] is False
    assert {"message", "suggestion", "responseTime"} <= set(bad)
    assert client.data("GET", f"{PATH}/status", person.token) == {row: False}
    mariadb.run(f"UPDATE search_api.database_connections SET host = '10.0.0.1' WHERE id = '{row}'")
    assert "operator" in client.data("POST", f"{PATH}/{row}/test", person.token)["message"]


def test_a_credential_that_does_not_decrypt_is_an_error_and_no_empty_password(client, person, shop, mariadb):
    row = person.database(shop)
    mariadb.run(f"UPDATE search_api.database_connections SET sealed_password = 'k1:AAAA' WHERE id = '{row}'")
    assert "does not decrypt" in client.data("POST", f"{PATH}/{row}/test", person.token)["message"]
    assert client.fault("GET", f"{PATH}/{row}/schema", person.token) == (502, "CONNECTION_ERROR")
    assert client.fault("PUT", f"{PATH}/{row}", person.token, json={"port": 3307}) == (
        502,
        "CONNECTION_ERROR",
    )
    answer = client.call("POST", "/api/v1/search", person.secret(), json={"query": "nginx"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "SEARCH_FAILED")
    assert "does not decrypt" in answer.text


def test_a_sealed_password_moved_to_another_row_does_not_open(client, person, other, shop, mariadb):
    mine, theirs = person.database(shop), other.database(shop)
    mariadb.run(
        "UPDATE search_api.database_connections a JOIN search_api.database_connections b"
        f" SET a.sealed_password = b.sealed_password WHERE a.id = '{mine}' AND b.id = '{theirs}'"
    )
    assert client.data("POST", f"{PATH}/{mine}/test", person.token)["connected"] is False


def test_the_schema_names_tables_columns_and_indexes(client: Client, person: Person, shop):
    tables = {
        t["table"]: t for t in client.data("GET", f"{PATH}/{person.database(shop)}/schema", person.token)
    }
    assert set(tables) == {"events", "notes", "numbers", "packages"}
    packages = tables["packages"]
    assert set(packages) == {"database", "table", "columns", "fullTextIndexes", "estimatedRows"}
    assert packages["fullTextIndexes"][0] | {"cardinality": 0} == {
        "name": "both_columns", "columns": ["name", "description"], "type": "FULLTEXT", "cardinality": 0,
    }  # fmt: skip
    columns = {column.pop("name"): column for column in packages["columns"]}
    assert columns["name"] == {"type": "varchar", "isFullTextIndexed": True, "isSearchable": True}
    assert columns["section"] == {"type": "varchar", "isFullTextIndexed": False, "isSearchable": True}
    assert columns["id"] == {"type": "int", "isFullTextIndexed": False, "isSearchable": False}


def target(shop, **changes) -> Target:
    values = {**shop, **changes}
    values.pop("name")
    return Target(tls=values.pop("ssl", True), **values)


def test_tls_is_verified_against_the_ca_and_the_name(make_settings, shop, mariadb, monkeypatch):
    good = Connector(make_settings()).connect(target(shop))
    with good.cursor() as cursor:
        cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
        assert cursor.fetchone()[1]
    good.close()
    stranger = Connector(make_settings(customer_tls_ca=mariadb.certificates.stranger))
    with pytest.raises(CannotConnectError, match="certificate is not valid"):
        stranger.connect(target(shop))
    here = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", mariadb.port))]
    monkeypatch.setattr(outbound.socket, "getaddrinfo", lambda *_a, **_k: here)
    with pytest.raises(CannotConnectError, match="certificate is not valid"):
        Connector(make_settings()).connect(target(shop, host="another.example.com"))
    Connector(make_settings()).connect(target(shop, host="another.example.com", ssl=False)).close()


def test_connections_are_limited_and_read_only(make_settings, shop):
    connection = Connector(make_settings()).connect(target(shop))
    with connection.cursor() as cursor:
        if is_mariadb(connection):
            cursor.execute("SELECT @@max_statement_time, @@tx_read_only")
        else:
            cursor.execute("SELECT @@max_execution_time / 1000, @@transaction_read_only")
        assert [float(value) for value in cursor.fetchone()] == [1.0, 1.0]
    connection.close()


def test_the_address_that_was_checked_is_the_one_dialled(make_settings, shop, monkeypatch):
    answers = iter(["127.0.0.1", "10.9.9.9", "10.9.9.9"])
    asked, dialled = [], []

    def rebinding(host, port, **_options):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    def dial(address, **options):
        dialled.append(address[0])
        made = socket.socket()
        made.settimeout(options["timeout"])
        made.connect(address)
        return made

    monkeypatch.setattr(outbound.socket, "getaddrinfo", rebinding)
    monkeypatch.setattr("search_api.customer.connect.socket.create_connection", dial)
    Connector(make_settings()).connect(target(shop, host="rebinds.example.com", ssl=False)).close()
    assert (asked, dialled) == (["rebinds.example.com"], ["127.0.0.1"])


def test_one_refused_address_refuses_the_host(monkeypatch):
    found = [(socket.AF_INET, 1, 6, "", (address, 3306)) for address in ("93.184.215.14", "10.0.0.1")]
    monkeypatch.setattr(outbound.socket, "getaddrinfo", lambda *_a, **_k: found)
    with pytest.raises(ApiError) as caught:
        checked_addresses("mixed.example.com", 3306, ())
    assert caught.value.code == "HOST_NOT_ALLOWED"
    assert len(checked_addresses("mixed.example.com", 3306, (ip_network("10.0.0.0/8"),))) == 2
    monkeypatch.setattr(outbound.socket, "getaddrinfo", lambda *_a, **_k: [])
    with pytest.raises(UnknownHostError):
        checked_addresses("empty.example.com", 3306, ())


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "168.63.129.16", "100.100.100.200", "::1", "::", "fe80::1", "fd00:ec2::254", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::a9fe:a9fe", "192.0.2.1", "198.18.0.1",
    ],
)  # fmt: skip
def test_special_addresses_are_refused_unless_allowed(address):
    assert not is_allowed(ip_address(address), ())


def test_public_addresses_are_allowed_and_others_by_cidr():
    assert is_allowed(ip_address("93.184.215.14"), ())
    assert is_allowed(ip_address("2606:4700::1111"), ())
    assert is_allowed(ip_address("10.1.2.3"), (ip_network("10.1.0.0/16"),))
    assert is_allowed(ip_address("::ffff:10.1.2.3"), (ip_network("10.1.0.0/16"),))
    assert not is_allowed(ip_address("10.2.2.3"), (ip_network("10.1.0.0/16"), ip_network("fd00::/8")))
