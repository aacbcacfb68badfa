from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_api.customer.schema import Column, FullTextIndex, Table
from search_api.errors import ApiError
from search_api.search.conditions import quote
from search_api.search.query import parse_boolean, parse_natural, terms_of, top_level_text, without_exclusions
from search_api.search.shape import json_value, snippet
from search_api.search.statements import plan_table
from search_api.search.words import WordFinder


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("apple banana", "apple banana"),
        ("+apple -banana", "+apple -banana"),
        ("+apple +(>turnover <strudel)", "+apple +(>turnover <strudel)"),
        ("app*", "app*"),
        ('"two  words"', '"two words"'),
        ("c++ x", "c x"),
        ("a-b", '"a b"'),
        ("python3-num*", '"python3 num"'),
        ("--apple", "-apple"),
        ("+-apple", "-apple"),
        ("apple +", "apple"),
        ('apple "open', "apple open"),
        ("(apple", "(apple)"),
        ("apple)", "apple"),
        ("() apple", "apple"),
        ("apple @8", "apple 8"),
        ("*apple", "apple"),
    ],
)
def test_what_reaches_mysql_is_well_formed(query, text):
    assert top_level_text(parse_boolean(query)) == text


def sent(query: str) -> str | int:
    """What reaches MySQL, or the status of the refusal."""
    try:
        return top_level_text(parse_boolean(query))
    except ApiError as error:
        return error.status


@given(st.text(max_size=200))
def test_any_text_gives_balanced_text_or_a_400(query):
    text = sent(query)
    if isinstance(text, int):
        assert text == 400
        return
    assert text.count("(") == text.count(")")
    assert text.count('"') % 2 == 0
    assert not text.endswith(("+", "-", "~", "<", ">"))
    assert sent(text) == text


def test_excluded_parts_are_left_out_of_the_generous_query():
    query = parse_boolean("+a -b (-c) +(d -e)")
    assert top_level_text(without_exclusions(query)) == "+a +(d)"
    assert [term.words for term in terms_of(query)] == [("a",), ("d",)]


def test_natural_queries_are_words_once_each():
    assert [term.words[0] for term in parse_natural("a b, a; c!").parts] == ["a", "b", "c"]


def table(*indexes: tuple[str, ...]) -> Table:
    columns = (*(Column(name, "text", False) for name in ("a", "b", "c")), Column("id", "int", True))
    found = tuple(FullTextIndex(f"i{number}", names, None) for number, names in enumerate(indexes))
    return Table("t", columns, found, ("id",), 10)


@pytest.mark.parametrize(
    ("indexes", "wanted", "matched", "filtered", "by_like"),
    [
        ([("a", "b")], None, 1, False, False),
        ([("a",), ("a", "b"), ("c",)], None, 2, False, False),
        ([("a",), ("a", "b")], {"a"}, 1, False, False),
        ([("a", "b")], {"a"}, 1, True, False),
        ([("a", "b"), ("c",)], {"a", "c"}, 2, True, False),
        ([("a", "b")], {"a", "c"}, 0, False, True),
        ([], None, 0, False, True),
    ],
)
def test_the_fewest_indexes_that_serve_are_chosen(indexes, wanted, matched, filtered, by_like):
    query = parse_natural("word")
    plan = plan_table(table(*indexes), frozenset(wanted) if wanted else None, "natural", query, 100)
    assert plan is not None
    assert plan.score.text.count("MATCH") == matched
    assert ("REGEXP" in plan.where.text) is filtered
    assert plan.by_like is by_like


def test_names_are_quoted_for_mysql_and_for_the_driver():
    assert quote("odd `name %s") == "`odd ``name %%s`"


def test_values_become_json():
    values = (None, 1, "x", Decimal("1.5"), date(2024, 1, 2), timedelta(hours=1), b"\xff")
    assert [json_value(value) for value in values] == [None, 1, "x", 1.5, "2024-01-02", "1:00:00", None]


@pytest.mark.parametrize(
    ("query", "text", "found"),
    [
        ("the proxy", "a Proxy here", True),
        ("the proxy", "the proxychains", False),
        ("prox*", "the proxychains", True),
        ("cafe", "im Café", True),
        ('"database server"', "a database, server", True),
        ('"database server"', "a database and server", False),
        ("the", "over the hill", True),
    ],
)
def test_matched_words_are_whole_words_without_case_and_accents(query, text, found):
    assert WordFinder(terms_of(parse_boolean(query))).is_in(text) is found


@pytest.mark.parametrize(
    ("query", "counts"),
    [("proxy", [2]), ("prox*", [4]), ('"proxy server"', [1]), ("proxy server", [2, 1]), ("ab", [0])],
)
def test_each_term_is_counted(query, counts):
    text = "Proxy proxychains, a PROXY-server my_proxy proxy_pass"
    assert WordFinder(parse_boolean(query).parts).counts(text) == counts


def test_nothing_is_found_when_nothing_is_asked():
    assert not WordFinder(()).is_in("anything")


def test_a_snippet_is_html_safe_and_marks_each_match():
    finder = WordFinder(parse_natural("café server").parts)
    shown = snippet(["<b>Cafe</b> & server's <mark>"], finder)
    assert shown == ("&lt;b&gt;<mark>Cafe</mark>&lt;/b&gt; &amp; <mark>server</mark>&#x27;s &lt;mark&gt;")


def test_a_snippet_is_where_most_of_the_words_are():
    finder = WordFinder(parse_natural("alpha beta").parts)
    text = "alpha " + "padding " * 100 + "alpha and beta" + " padding" * 100
    shown = snippet([text], finder)
    assert "<mark>alpha</mark> and <mark>beta</mark>" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")


@given(st.text(max_size=300), st.text(alphabet="ab ", min_size=1, max_size=10))
def test_a_snippet_of_any_text_holds_no_markup_but_marks(text, words):
    shown = snippet([text], WordFinder(parse_natural(words).parts))
    plain = shown.replace("<mark>", "").replace("</mark>", "")
    assert "<" not in plain
    assert ">" not in plain
    assert shown.count("<mark>") == shown.count("</mark>")
