import string
import time
from datetime import timedelta

import jwt
import pytest
from conftest import SECRETS
from hypothesis import given
from hypothesis import strategies as st
from search_api.clock import now
from search_api.errors import ApiError
from search_api.ids import new_id
from search_api.key_format import is_well_formed, new_secret_key, shown_prefix, stored_hash
from search_api.passwords import Passwords
from search_api.settings import load_settings
from search_api.tokens import Tokens
from search_api.vault import UnreadableCredentialError, Vault

KEYS = SECRETS["encryption_keys"]
OTHER_KEY = "k2:DwLS+tphKGJuHBp0ZrisTyl1R3CPZPTe5dGoZgE9haY="
TEST = {"environment": "test", "password_memory_kib": 1024, "password_time_cost": 1}


def test_a_new_key_is_well_formed_and_never_repeats():
    keys = {new_secret_key("live") for _ in range(200)}
    assert len(keys) == 200
    assert all(is_well_formed(key) and key.startswith("lg_sk_live_") for key in keys)
    assert len(shown_prefix(keys.pop())) == 16


@given(st.integers(min_value=0, max_value=45), st.sampled_from(string.ascii_letters + string.digits))
def test_one_changed_character_is_noticed(position, character):
    key = new_secret_key("test")
    at = len("lg_sk_test_") + position
    changed = key[:at] + character + key[at + 1 :]
    assert is_well_formed(changed) == (changed == key)


@pytest.mark.parametrize(
    "text", ["", "lg_sk_test_", "lg_sk_prod_" + "a" * 46, "x" * 10_000, "lg_sk_test_" + "a" * 45]
)
def test_malformed_keys_are_refused(text):
    assert not is_well_formed(text)


def test_the_stored_hash_depends_on_the_pepper():
    key = new_secret_key("test")
    assert len(stored_hash(key, b"one")) == 64
    assert stored_hash(key, b"one") != stored_hash(key, b"two")


def test_the_vault_binds_a_password_to_owner_and_row():
    vault = Vault(KEYS)
    sealed = vault.encrypt("pässword", owner="o", row="r")
    assert sealed.startswith("k1:")
    assert "pässword" not in sealed
    assert vault.encrypt("pässword", owner="o", row="r") != sealed
    assert vault.decrypt(sealed, owner="o", row="r") == "pässword"
    for owner, row in (("x", "r"), ("o", "x")):
        with pytest.raises(UnreadableCredentialError):
            vault.decrypt(sealed, owner=owner, row=row)


@pytest.mark.parametrize(
    "stored", ["", "k1:", "k1:!!!", "k1:AAAA", "plain text", "k9:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]
)
def test_a_credential_that_does_not_decrypt_is_an_error(stored):
    with pytest.raises(UnreadableCredentialError):
        Vault(KEYS).decrypt(stored, owner="o", row="r")


def test_keys_rotate_without_losing_what_the_old_one_sealed():
    sealed = Vault(KEYS).encrypt("pass", owner="o", row="r")
    rotated = Vault(f"{OTHER_KEY},{KEYS}")
    assert rotated.decrypt(sealed, owner="o", row="r") == "pass"
    assert rotated.encrypt("pass", owner="o", row="r").startswith("k2:")


def test_passwords_are_argon2id_and_an_unknown_user_costs_as_much():
    passwords = Passwords(load_settings(**(SECRETS | {"environment": "test"})))
    stored = passwords.hash("Some-Pass-1")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.verify("Some-Pass-1", stored)
    assert not passwords.verify("Some-Pass-2", stored)

    def cost(against: str | None) -> float:
        times = []
        for _ in range(7):
            started = time.thread_time()
            assert not passwords.verify("wrong", against)
            times.append(time.thread_time() - started)
        return min(times)

    assert 0.5 < cost(None) / cost(stored) < 2


def test_ids_are_uuids_in_the_order_of_their_making():
    first = new_id()
    time.sleep(0.002)
    second = new_id()
    assert first < second
    assert first[14] == "7"
    assert first[19] in "89ab"


def tokens(**changes):
    return Tokens(load_settings(**(SECRETS | TEST | changes)))


def test_a_token_carries_user_version_and_login_time():
    maker = tokens()
    token = maker.read(maker.issue("user", 3))
    assert (token.user_id, token.version) == ("user", 3)
    assert abs((token.expires_at - now()).total_seconds() - maker.lifetime) < 5


def forged(**changes):
    moment = now()
    claims = {
        "iss": "search-api",
        "sub": "user",
        "jti": new_id(),
        "ver": 1,
        "iat": moment,
        "exp": moment + timedelta(hours=1),
        "auth_time": int(moment.timestamp()),
    } | changes
    return {name: value for name, value in claims.items() if value is not None}


@pytest.mark.parametrize(
    ("claims", "key", "algorithm", "code"),
    [
        (forged(), "another key of thirty-two characters", "HS256", "INVALID_TOKEN"),
        (forged(), None, "none", "INVALID_TOKEN"),
        (forged(), SECRETS["jwt_secret"], "HS512", "INVALID_TOKEN"),
        (forged(iss="somebody"), SECRETS["jwt_secret"], "HS256", "INVALID_TOKEN"),
        (forged(jti=None), SECRETS["jwt_secret"], "HS256", "INVALID_TOKEN"),
        (forged(ver="x"), SECRETS["jwt_secret"], "HS256", "INVALID_TOKEN"),
        (forged(exp=now() - timedelta(seconds=2)), SECRETS["jwt_secret"], "HS256", "TOKEN_EXPIRED"),
    ],
)
def test_forged_and_expired_tokens_are_refused(claims, key, algorithm, code):
    with pytest.raises(ApiError) as caught:
        tokens().read(jwt.encode(claims, key, algorithm=algorithm))
    assert (caught.value.status, caught.value.code) == (401, code)


def test_refreshing_takes_a_freshly_expired_token_within_the_life_of_the_login():
    maker = tokens(jwt_refresh_grace=60)
    soon = jwt.encode(forged(exp=now() - timedelta(seconds=30)), SECRETS["jwt_secret"], algorithm="HS256")
    late = jwt.encode(forged(exp=now() - timedelta(seconds=90)), SECRETS["jwt_secret"], algorithm="HS256")
    old = jwt.encode(
        forged(auth_time=int((now() - timedelta(days=31)).timestamp())),
        SECRETS["jwt_secret"],
        algorithm="HS256",
    )
    assert maker.read(soon, refreshing=True).user_id == "user"
    for text in (late, old):
        with pytest.raises(ApiError) as caught:
            maker.read(text, refreshing=True)
        assert caught.value.code == "TOKEN_EXPIRED"
