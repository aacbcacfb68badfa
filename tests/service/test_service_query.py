from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_api.customer.schema import Column, FullTextIndex, Table
from search_api.errors import ApiError
from search_api.search.query import parse_boolean, parse_natural, terms_of, top_level_text, without_exclusions
from search_api.search.shape import json_value, words_pattern
from search_api.search.statements import plan_table, quote


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


def test_matched_words_are_whole_words():
    pattern = words_pattern(parse_natural("the proxy").parts)
    assert pattern.search("a Proxy here")
    assert not pattern.search("the proxychains")
    assert not words_pattern(()).search("anything")
