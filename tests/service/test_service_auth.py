# ruff: noqa: S608 (the tests' own ids in the tests' own statements)
import re
from datetime import UTC, datetime

import pytest
from service_client import PASSWORD, Client, Person

AUTH = "/api/v1/auth"
RFC3339 = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


def test_register_answers_with_the_user_and_a_token(client: Client):
    body = {"email": "Ada.Lovelace@Example.com", "password": PASSWORD, "name": "Ada", "role": "admin"}
    made = client.data("POST", f"{AUTH}/register", json=body, status=201)
    assert set(made) == {"user", "token", "expiresIn"}
    user = made["user"]
    assert set(user) == {"id", "email", "name", "role", "connectedDatabases", "createdAt", "lastActive"}
    assert (user["email"], user["role"], user["connectedDatabases"]) == (
        "ada.lovelace@example.com",
        "user",
        [],
    )
    assert RFC3339.match(user["createdAt"])
    assert abs((datetime.fromisoformat(user["createdAt"]) - datetime.now(UTC)).total_seconds()) < 60
    assert client.fault("POST", f"{AUTH}/register", json=body) == (409, "RESOURCE_CONFLICT")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "nobody"}, "email"),
        ({"password": "short"}, "password"),
        ({"name": "x"}, "name"),
        ({"name": None}, "name"),
    ],
)
def test_register_names_the_field_that_is_wrong(client: Client, change, field):
    body = {"email": "x@example.com", "password": PASSWORD, "name": "Some One"} | change
    answer = client.call("POST", f"{AUTH}/register", json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "VALIDATION_ERROR"
    assert [set(detail) for detail in error["details"]] == [{"field", "message", "code"}]
    assert error["details"][0]["field"] == field


def test_login_gives_the_same_answer_for_wrong_user_and_wrong_password(client: Client, person: Person):
    good = client.data("POST", f"{AUTH}/login", json={"email": person.email.upper(), "password": PASSWORD})
    assert good["user"]["id"] == person.id
    answers = [
        client.call("POST", f"{AUTH}/login", json={"email": email, "password": "wrong"}).json()["error"]
        for email in (person.email, "nobody@example.com")
    ]
    assert answers[0] == answers[1]
    assert answers[0]["code"] == "AUTHENTICATION_FAILED"


def test_profile_is_read_and_changed(client: Client, person: Person, other: Person):
    assert client.data("GET", f"{AUTH}/profile", person.token)["email"] == person.email
    changed = client.data("PUT", f"{AUTH}/profile", person.token, json={"name": "New Name", "role": "admin"})
    assert (changed["name"], changed["role"], changed["email"]) == ("New Name", "user", person.email)
    moved = client.data("PUT", f"{AUTH}/profile", person.token, json={"email": f"moved-{person.email}"})
    assert moved["email"] == f"moved-{person.email}"
    taken = client.fault("PUT", f"{AUTH}/profile", person.token, json={"email": other.email})
    assert taken == (409, "RESOURCE_CONFLICT")


def test_nobody_makes_themselves_an_administrator(client: Client, person: Person, mariadb):
    rows = mariadb.run(f"SELECT role FROM search_api.users WHERE id = '{person.id}'")
    client.call("PUT", f"{AUTH}/profile", person.token, json={"role": "admin", "is_admin": True})
    assert (
        rows
        == mariadb.run(f"SELECT role FROM search_api.users WHERE id = '{person.id}'")
        == [{"role": "user"}]
    )


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({}, "NO_TOKEN"),
        ({"Authorization": "Basic abc"}, "INVALID_AUTH_FORMAT"),
        ({"Authorization": "Bearer"}, "INVALID_AUTH_FORMAT"),
        ({"Authorization": "Bearer nonsense"}, "INVALID_TOKEN"),
        ({"Authorization": "Bearer a.b.c"}, "INVALID_TOKEN"),
    ],
)
def test_a_missing_or_wrong_token_is_named(client: Client, header, code):
    answer = client.call("GET", f"{AUTH}/profile", headers=header)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)
    assert answer.headers["www-authenticate"] == "Bearer"


def test_an_api_key_is_no_login_token(client: Client, person: Person):
    assert client.fault("GET", f"{AUTH}/profile", person.secret()) == (401, "INVALID_TOKEN")


def test_refresh_gives_a_new_token(client: Client, person: Person):
    fresh = client.data("POST", f"{AUTH}/refresh", person.token)
    assert set(fresh) == {"user", "token", "expiresIn"}
    assert fresh["token"] != person.token
    assert client.data("GET", f"{AUTH}/profile", fresh["token"])["id"] == person.id


def test_logout_revokes_this_token_only(client: Client, person: Person):
    second = client.data("POST", f"{AUTH}/login", json={"email": person.email, "password": PASSWORD})["token"]
    assert client.data("POST", f"{AUTH}/logout", person.token) == {"success": True}
    for method, path in (("GET", "profile"), ("POST", "refresh"), ("POST", "logout")):
        assert client.fault(method, f"{AUTH}/{path}", person.token) == (401, "INVALID_TOKEN")
    assert client.data("GET", f"{AUTH}/profile", second)["id"] == person.id


def test_a_changed_password_ends_every_older_token(client: Client, person: Person):
    new = "Another-Good-9-Pass"
    path = f"{AUTH}/change-password"
    wrong = {"currentPassword": "not it", "newPassword": new}
    assert client.fault("POST", path, person.token, json=wrong) == (401, "AUTHENTICATION_FAILED")
    for weak in ("alllowercase1!", "ALLUPPERCASE1!", "NoDigitsHere!", "NoSpecial123", PASSWORD):
        body = {"currentPassword": PASSWORD, "newPassword": weak}
        assert client.fault("POST", path, person.token, json=body) == (400, "VALIDATION_ERROR")
    good = {"currentPassword": PASSWORD, "newPassword": new}
    assert client.data("POST", path, person.token, json=good) == {"success": True}
    assert client.fault("GET", f"{AUTH}/profile", person.token) == (401, "INVALID_TOKEN")
    old = {"email": person.email, "password": PASSWORD}
    assert client.fault("POST", f"{AUTH}/login", json=old) == (401, "AUTHENTICATION_FAILED")
    assert client.data("POST", f"{AUTH}/login", json=old | {"password": new})["user"]["id"] == person.id


def test_a_deactivated_user_is_out_at_once(client: Client, person: Person, mariadb):
    secret = person.secret()
    mariadb.run(f"UPDATE search_api.users SET is_active = 0 WHERE id = '{person.id}'")
    assert client.fault("GET", f"{AUTH}/profile", person.token) == (401, "INVALID_TOKEN")
    body = {"email": person.email, "password": PASSWORD}
    assert client.fault("POST", f"{AUTH}/login", json=body) == (401, "AUTHENTICATION_FAILED")
    assert client.fault("POST", "/api/v1/search", secret, json={"query": "x"}) == (401, "INVALID_API_KEY")
