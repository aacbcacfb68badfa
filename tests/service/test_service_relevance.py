"""Order, categories and paging of a search over tables that differ in size, shape and kind."""

import pytest
from conftest import SEARCHER_PASSWORD
from service_client import Client

SEARCH = "/api/v1/search"
BOOKS = [
    f"({n}, 'volume {n}', 'plain filler text about widget {'alpha' if n % 2 else 'beta'} {n}', "
    f"'{'novel' if n % 3 else 'manual'}')"
    for n in range(1, 601)
]
STATEMENTS = [
    "CREATE DATABASE shop_big CHARACTER SET utf8mb4",
    "CREATE TABLE shop_big.books (id INT PRIMARY KEY, title VARCHAR(100), body TEXT, section VARCHAR(20),"
    " FULLTEXT both_columns (title, body)) ENGINE=InnoDB",
    "INSERT INTO shop_big.books VALUES " + ",".join(BOOKS),  # noqa: S608
    "INSERT INTO shop_big.books VALUES (1001, 'zebra', 'a striped animal', 'novel'),"
    " (1002, 'animals', CONCAT('zebra', REPEAT(' padding words here', 60)), 'novel'),"
    " (1003, 'zebra crossing', 'a place to walk', 'manual'),"
    " (1004, 'walkers', 'walk walk walk walk walk walk walk walk', NULL),"
    " (1005, 'crossing', 'the zebra and the walk', 'manual')",
    "CREATE TABLE shop_big.slips (id INT PRIMARY KEY, note TEXT) ENGINE=InnoDB",
    "INSERT INTO shop_big.slips VALUES (1, 'zebra walk at noon'), (2, 'zebras')",
    "CREATE DATABASE shop_small CHARACTER SET utf8mb4",
    "CREATE TABLE shop_small.pages (id INT PRIMARY KEY, title VARCHAR(100), body TEXT, FULLTEXT (title, body))"
    " ENGINE=InnoDB",
    "INSERT INTO shop_small.pages VALUES (1, 'zebra', 'a striped animal'), (2, 'other', 'walk')",
]


@pytest.fixture(scope="module")
def reader(client: Client, mariadb) -> tuple[Client, str, str, str]:
    mariadb.run(*STATEMENTS)
    user = client.register()
    body = {
        "host": "127.0.0.1", "port": mariadb.port, "username": "searcher", "password": SEARCHER_PASSWORD,
    }  # fmt: skip
    big = user.database(body | {"name": "big", "database": "shop_big"})
    small = user.database(body | {"name": "small", "database": "shop_small"})
    return client, user.secret(), big, small


def ask(reader, query: str, **body):
    client, key, _, _ = reader
    return client.data("POST", SEARCH, key, json={"query": query} | body)


def ids(found) -> list[str]:
    return [result["id"] for result in found["results"]]


def test_a_title_weighs_more_and_length_counts(reader):
    found = ask(reader, "zebra", tables=["books"])
    assert ids(found) == ["books:1001", "books:1003", "books:1005", "books:1002"]
    columns = {result["id"]: result["matchedColumns"] for result in found["results"]}
    assert columns == {
        "books:1001": ["title"], "books:1003": ["title"], "books:1005": ["body"], "books:1002": ["body"],
    }  # fmt: skip


def test_rows_with_all_words_come_first(reader):
    found = ask(reader, "zebra walk", tables=["books"])
    assert set(ids(found)[:2]) == {"books:1003", "books:1005"}
    scores = {result["id"]: result["relevanceScore"] for result in found["results"]}
    assert min(scores["books:1003"], scores["books:1005"]) > 0.5 > scores["books:1004"]


def test_an_unknown_word_does_not_make_every_row_a_partial_one(reader):
    found = ask(reader, "zebra walk nosuchword", tables=["books"])
    assert found["results"][0]["relevanceScore"] > 0.5
    assert found["queryOptimization"]["unknownWords"] == [{"word": "nosuchword", "suggestions": []}]


def test_scores_compare_over_databases_of_different_size(reader):
    found = ask(reader, "zebra")
    scores = {(result["database"], result["id"]): result["relevanceScore"] for result in found["results"]}
    _, _, big, small = reader
    equal_rows = scores[big, "books:1001"], scores[small, "pages:1"]
    assert abs(equal_rows[0] - equal_rows[1]) < 0.05
    assert set(ids(found)[:2]) == {"books:1001", "pages:1"}
    assert found["degraded"] == ["no_fulltext_index"]
    assert (big, "slips:1") in scores


def test_every_page_of_a_large_result_is_exact_and_stable(reader):
    _, _, big, _ = reader
    body = {"databases": [big], "tables": ["books"], "limit": 37}
    seen: list[str] = []
    scores: list[float] = []
    for offset in range(0, 600, 37):
        found = ask(reader, "widget alpha", offset=offset, **body)
        assert (found["totalCount"], found["totalCountCapped"]) == (600, False)
        assert found["hasMore"] is (offset + 37 < 600)
        seen += ids(found)
        scores += [result["relevanceScore"] for result in found["results"]]
    assert len(seen) == len(set(seen)) == 600
    assert scores == sorted(scores, reverse=True)
    wide = ask(reader, "widget alpha", databases=[big], tables=["books"], limit=100, offset=150)
    assert ids(wide) == seen[150:250]
    assert {int(each.split(":")[1]) % 2 for each in seen[:300]} == {1}, (
        "all words before one word, on every page"
    )


def test_categories_are_of_the_whole_result_by_a_telling_column(reader):
    found = ask(reader, "widget", tables=["books"], limit=1)
    assert found["categories"] == [
        {"name": "novel", "count": 400, "confidence": 0.6667},
        {"name": "manual", "count": 200, "confidence": 0.3333},
    ]
    assert found["results"][0]["categories"][0] in {"novel", "manual"}
    assert ask(reader, "zebra walk")["categories"] == [
        {"name": "manual", "count": 2, "confidence": 0.2222},
        {"name": "novel", "count": 2, "confidence": 0.2222},
        {"name": "pages", "count": 2, "confidence": 0.2222},
        {"name": "slips", "count": 2, "confidence": 0.2222},
        {"name": "books", "count": 1, "confidence": 0.1111},
    ]


def test_categories_do_not_depend_on_the_page(reader):
    pages = [ask(reader, "widget", tables=["books"], limit=100, offset=offset) for offset in (0, 100, 500)]
    assert len({str(page["categories"]) for page in pages}) == 1


def test_what_was_done_with_the_query_is_said(reader):
    found = ask(reader, "the zerba of Widget", tables=["books"])
    assert found["queryOptimization"] == {
        "originalQuery": "the zerba of Widget",
        "optimizedQuery": "the zerba of Widget",
        "mode": "natural",
        "droppedWords": [{"word": "the", "reason": "stop_word"}, {"word": "of", "reason": "stop_word"}],
        "unknownWords": [{"word": "zerba", "suggestions": ["zebra"]}],
    }
    assert found["suggestions"] == [], "there are enough hits"


def test_few_hits_bring_suggestions(reader):
    found = ask(reader, "+zerba +crossing", tables=["books"], searchMode="boolean")
    assert found["totalCount"] == 0
    assert found["suggestions"][0] == {"text": "+zebra +crossing", "score": 0.8, "type": "spelling"}
    again = ask(reader, found["suggestions"][0]["text"], tables=["books"], searchMode="boolean")
    assert again["totalCount"] == 2


def test_snippets_mark_the_match_and_are_safe(reader, mariadb):
    mariadb.run("INSERT INTO shop_big.slips VALUES (9, '<script>quagga</script> & more')")
    found = ask(reader, "quagga", tables=["slips"])
    assert found["results"][0]["snippet"] == "&lt;script&gt;<mark>quagga</mark>&lt;/script&gt; &amp; more"
    assert found["results"][0]["data"]["note"] == "<script>quagga</script> & more", "data stay as they are"


def test_boolean_operators_weigh(reader):
    more = ask(reader, "zebra >walk", tables=["books"], searchMode="boolean")
    less = ask(reader, "zebra <walk", tables=["books"], searchMode="boolean")
    assert ids(more).index("books:1004") < ids(less).index("books:1004")
