"""Waivers and attestations count only when whole, dated, short and alive, and never hide what is red."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from checks.gate.waivers import read_book

if TYPE_CHECKING:
    from conftest import Bench

TODAY = dt.date(2026, 6, 15)
NOW = dt.datetime.now(dt.UTC).date()


def entry(kind: str = "waiver", today: dt.date = TODAY, **change: str) -> str:
    known = {
        "item": '"T-APP-1"', "owner": '"ops"', "reason": '"new disk ordered"',
        "date": str(today - dt.timedelta(days=5)), "expires": str(today + dt.timedelta(days=5)), **change,
    }  # fmt: skip
    return f"[[{kind}]]\n" + "".join(f"{key} = {value}\n" for key, value in known.items() if value)


def red(bench: Bench, error: str = "evidence.expect(looked_at='x', observed=1, expected=2)") -> Bench:
    bench.items("T-APP-1")
    bench.file("check_red.py", f'@item("T-APP-1", on=None)\ndef check_it(evidence):\n    {error}\n')
    return bench


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"until": "2026-07-01"}, "unknown key 'until'"),
        ({"owner": ""}, "owner missing"),
        ({"owner": '" "'}, "owner is empty"),
        ({"reason": "3"}, "reason is empty or not text"),
        ({"date": '"2026-06-01"'}, "date is not a date"),
        ({"expires": "2026-07-01T00:00:00"}, "expires is not a date"),
        ({"item": '"T-APP-2"'}, "unknown item T-APP-2"),
        ({"date": "2026-06-16"}, "dated in the future"),
        ({"expires": "2026-06-14"}, "expired on 2026-06-14"),
        ({"expires": "2026-09-09"}, "at most 90 are allowed"),
        ({"covers": '["PASS"]'}, "covers must list some of"),
        ({"covers": "[]"}, "covers must list some of"),
    ],
)
def test_a_faulty_waiver_counts_as_absent_and_says_where(
    tmp_path: Path, change: dict[str, str], told: str
) -> None:
    path = tmp_path / "waivers.toml"
    path.write_text("# first line\n\n" + entry(**change))
    book = read_book(path, {"T-APP-1"}, TODAY)
    assert book.waivers == {}
    assert len(book.refused) == 1
    assert f"{path}:3: " in book.refused[0]
    assert told in book.refused[0]


def test_a_waiver_holds_through_its_last_day_and_ninety_days(tmp_path: Path) -> None:
    path = tmp_path / "waivers.toml"
    path.write_text(entry(date=str(TODAY - dt.timedelta(days=90)), expires=str(TODAY)))
    assert read_book(path, {"T-APP-1"}, TODAY).waivers["T-APP-1"].owner == "ops"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[waiver]\n", "cannot be read"),
        ("[[waver]]\nitem = 1\n", "unknown key 'waver'"),
        ("waiver = 3\n", "unknown key 'waiver'"),
        ("waiver = [3]\n", "is not a table"),
        (entry() + entry(), "has a waiver already"),
        (entry("attestation", covers='["FAIL"]'), "unknown key 'covers'"),
    ],
)
def test_a_faulty_file_is_told(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "waivers.toml"
    path.write_text(text)
    book = read_book(path, {"T-APP-1"}, TODAY)
    assert told in book.refused[-1]


def test_no_file_is_no_waiver(tmp_path: Path) -> None:
    book = read_book(tmp_path / "none.toml", {"T-APP-1"}, TODAY)
    assert (book.waivers, book.attestations, book.refused) == ({}, {}, [])


def test_a_waiver_opens_the_gate_and_still_shows_the_red_check(bench: Bench) -> None:
    red(bench).waivers.write_text(entry(today=NOW))
    ran = bench.run()
    assert ran.rc == 0
    item = ran.item("T-APP-1")
    assert (item["outcome"], item["measured"]) == ("WAIVED", "FAIL")
    assert item["waiver"]["owner"] == "ops"
    assert "still FAIL: control: x: saw 1; wanted 2" in ran.text
    page = (bench.out / "report.html").read_text()
    assert "new disk ordered" in page
    assert "saw 1; wanted 2" in page


def test_an_expired_waiver_does_not_open_the_gate_and_is_told_loudly(bench: Bench) -> None:
    yesterday = str(NOW - dt.timedelta(days=1))
    red(bench).waivers.write_text(entry(today=NOW, expires=yesterday))
    ran = bench.run()
    assert (ran.rc, ran.outcome("T-APP-1")) == (1, "FAIL")
    assert "WAIVER REFUSED" in ran.text
    assert "expired on" in ran.report["refused_waivers"][0]


def test_a_waiver_covers_a_failed_look_only_when_it_says_so(bench: Bench) -> None:
    red(bench, "raise CouldNotLook('no advisories')").waivers.write_text(entry(today=NOW))
    assert bench.run().outcome("T-APP-1") == "ERROR"
    bench.waivers.write_text(entry(today=NOW, covers='["ERROR"]'))
    ran = bench.run()
    assert (ran.rc, ran.item("T-APP-1")["measured"], ran.outcome("T-APP-1")) == (0, "ERROR", "WAIVED")


@pytest.mark.parametrize("body", ["pass", "pytest.skip('x')", "{}['x']"])
def test_no_waiver_covers_a_blinded_gate(bench: Bench, body: str) -> None:
    red(bench, body).waivers.write_text(entry(today=NOW, covers='["ERROR", "FAIL"]'))
    ran = bench.run()
    assert (ran.rc, ran.outcome("T-APP-1")) == (5, "ERROR")


def test_no_waiver_covers_a_deselected_check(bench: Bench) -> None:
    red(bench).waivers.write_text(entry(today=NOW, covers='["ERROR", "FAIL"]'))
    assert bench.run("-k", "nothing").rc == 5


def test_more_waivers_than_the_budget_close_the_gate(bench: Bench) -> None:
    ids = [f"T-APP-{number}" for number in range(1, 7)]
    bench.items(*ids)
    text = "".join(
        f'@item("{one}", on=None)\ndef check_{number}(evidence):\n    assert 1 == 2\n'
        for number, one in enumerate(ids)
    )
    bench.file("check_red.py", text)
    bench.waivers.write_text("".join(entry(today=NOW, item=f'"{one}"') for one in ids))
    ran = bench.run()
    assert ran.rc == 1
    assert "6 items are waived, at most 5 may be" in ran.text


def test_an_attestation_stands_for_a_review_but_never_for_a_failure(bench: Bench) -> None:
    red(bench, "raise NotReviewed('read the plan')")
    assert (bench.run().rc, bench.run().outcome("T-APP-1")) == (1, "NOT_REVIEWED")
    bench.waivers.write_text(entry("attestation", today=NOW))
    ran = bench.run()
    assert (ran.rc, ran.outcome("T-APP-1")) == (0, "ATTESTED")
    assert ran.item("T-APP-1")["attestation"]["owner"] == "ops"


def test_an_attestation_does_not_override_a_measured_failure(bench: Bench) -> None:
    red(bench).waivers.write_text(entry("attestation", today=NOW))
    assert bench.run().outcome("T-APP-1") == "FAIL"
