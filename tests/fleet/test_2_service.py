"""What a user sees, through NGINX over TLS: finds packages by their words, and nothing of anybody else's."""

import uuid

import pytest

from inventories.secrets import read_secret
from tests.fleet.conftest import Edge

pytestmark = pytest.mark.fleet


class Tenant:
    """A new user with the corpus's database and a key."""

    def __init__(self, edge: Edge) -> None:
        answer = edge.api(
            "POST",
            "auth/register",
            email=f"{uuid.uuid4().hex}@example.com",
            password="Aa1!long-enough",
            name="Fleet",
        )
        assert answer.status_code == 201, answer.text
        self.token = answer.json()["data"]["token"]
        answer = edge.api(
            "POST",
            "databases",
            self.token,
            name="packages",
            host="customer1",
            port=3306,
            database="packages",
            username="searcher",
            password=read_secret(edge.inventory, "customer_password"),
            ssl=True,
        )
        assert answer.status_code in (200, 201), answer.text
        self.database = answer.json()["data"]["id"]
        answer = edge.api(
            "POST", "keys", self.token, name="fleet test", environment="live", permissions=["search"]
        )
        assert answer.status_code == 201, answer.text
        self.key = answer.json()["data"]["secretKey"]


@pytest.fixture
def tenant(edge: Edge) -> Tenant:
    return Tenant(edge)


@pytest.mark.parametrize(
    ("words", "package"),
    [
        ("advanced picture editor enhance retouch photos scans", "gimp"),
        ("fast scalable distributed revision control system", "git"),
        ("small powerful scalable web proxy server nginx", "nginx"),
    ],
)
def test_words_of_a_description_find_the_package(
    edge: Edge, tenant: Tenant, words: str, package: str
) -> None:
    answer = edge.api("POST", "search", tenant.key, query=words, databases=[tenant.database], limit=10)
    assert answer.status_code == 200, answer.text
    found = [result["data"].get("name", "") for result in answer.json()["data"]["results"]]
    assert any(name == package or name.startswith(f"{package}-") for name in found), found


def test_a_wrong_key_gets_401_in_the_contracts_envelope(edge: Edge, tenant: Tenant) -> None:
    for key, code in (
        (tenant.key[:-6] + "000000", "INVALID_API_KEY_FORMAT"),
        ("nonsense", "INVALID_API_KEY_FORMAT"),
    ):
        answer = edge.api("POST", "search", key, query="x")
        assert answer.status_code == 401
        body = answer.json()
        assert body["success"] is False
        assert body["error"]["code"] == code
        assert body["meta"]["requestId"] == answer.headers["X-Request-Id"]


def test_another_tenants_database_looks_like_one_that_does_not_exist(edge: Edge, tenant: Tenant) -> None:
    other = Tenant(edge)
    for identity in (other.database, str(uuid.uuid4())):
        for method, path in (("GET", f"databases/{identity}"), ("GET", f"databases/{identity}/schema")):
            answer = edge.api(method, path, tenant.token)
            assert answer.status_code == 404, (path, answer.text)
            assert answer.json()["error"]["code"] in ("CONNECTION_NOT_FOUND", "NOT_FOUND")
        answer = edge.api("POST", "search", tenant.key, query="editor", databases=[identity])
        assert answer.status_code == 404, answer.text


def test_plain_http_is_redirected_and_metrics_stay_inside(edge: Edge) -> None:
    answer = edge.get(f"{edge.inventory.public_url}/metrics", timeout=10)
    assert answer.status_code in (403, 404)
    plain = edge.get(
        f"http://{edge.inventory.edge_address}/health",
        headers={"Host": edge.inventory.settings.domain},
        allow_redirects=False,
        timeout=10,
    )
    assert plain.status_code in (301, 308)
    assert plain.headers["Location"].startswith(edge.inventory.public_url)
