"""Slots, settings in force and the way back, read from what a machine prints."""

from __future__ import annotations

import json
from typing import Any

import pytest

from checks.configuration.check_environment import undescribed, variables
from checks.gate import CouldNotLook
from checks.probes.slots import InForce, parse_status
from checks.rollback.check_way_back import FleetState, chain_fault, way_back

STATUS = {
    "active": "green",
    "slots": {
        "blue": {"release": "1.0.0-aaa", "version": "1.0.0", "running": True, "ready": True},
        "green": {"release": "1.1.0-bbb", "version": "1.1.0", "running": True, "ready": False},
    },
}


def test_slots_are_read_with_the_one_that_serves() -> None:
    blue, green = parse_status(json.dumps(STATUS))
    assert (blue.active, green.active) == (False, True)
    assert (green.release, green.ready) == ("1.1.0-bbb", False)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"active": "blue"}', '{"active": "blue", "slots": {"blue": {}}}']
)
def test_anything_else_is_no_look(text: str) -> None:
    with pytest.raises(CouldNotLook):
        parse_status(text)


def test_a_part_that_failed_fails_the_check_that_needs_it() -> None:
    seen = InForce(
        "blue", True, {"settings": {"values": {"workers": 2}}, "redis": {"fault": "TimeoutError: late"}}
    )
    assert seen.values == {"workers": 2}
    with pytest.raises(AssertionError, match="TimeoutError: late"):
        seen.part("redis")


@pytest.mark.parametrize(
    ("active", "stale", "left"), [(True, True, False), (False, True, True), (False, False, False)]
)
def test_only_a_spare_slot_is_left_behind(active: bool, stale: bool, left: bool) -> None:
    assert InForce("blue", active, {"stale": stale}).left_behind is left


def test_environment_files_are_read_without_quotes_and_comments() -> None:
    text = '# SEARCH_API_OLD=1\nSEARCH_API_A="1 2"\nSEARCH_API_B=\nnot a line\n export=3\n'
    assert variables(text) == {"SEARCH_API_A": "1 2", "SEARCH_API_B": ""}


def test_a_variable_needs_words_above_it() -> None:
    assert undescribed("# its port\nA=1\n\n#\nB=2\nC=3\n") == ["B", "C"]


INSTALLED = ["0.9.0-999", "1.0.0-aaa", "1.1.0-bbb"]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (None, "1.0.0-aaa"),
        (FleetState("1.0.0-aaa", "0.9.0-999", "1.1.0-bbb"), "1.0.0-aaa"),
        (FleetState("1.1.0-bbb", "0.9.0-999", ""), "0.9.0-999"),
        (FleetState("1.1.0-bbb", "", ""), "1.0.0-aaa"),
        (FleetState("gone-1", "", ""), "gone-1"),
    ],
)
def test_the_record_of_the_fleet_says_where_to_go_back(state: FleetState | None, expected: str) -> None:
    assert way_back(["1.0.0-aaa"], INSTALLED, state, "1.1.0-bbb") == expected


def test_a_first_release_has_no_way_back() -> None:
    assert way_back([""], ["1.0.0-aaa"], None, "1.0.0-aaa") == ""


def test_a_chain_of_migrations_leads_to_the_beginning() -> None:
    whole: list[dict[str, Any]] = [
        {"revision": "0002", "down_revision": "0001"},
        {"revision": "0001", "down_revision": None},
    ]
    assert chain_fault(whole) == ""
    assert chain_fault([]) == "there is none"
    assert "0002 goes back to 0001, not to 0000" in chain_fault(
        [whole[0], {"revision": "0000", "down_revision": None}]
    )
    assert "missing" in chain_fault(whole[:1])
