from service_client import Client, Person


def test_register_add_database_make_key_search(client: Client, person: Person, shop):
    person.database(shop)
    found = client.data("POST", "/api/v1/search", person.secret(), json={"query": "scalable proxy"})
    print(found)
    assert found["results"][0]["data"]["name"] == "nginx"
