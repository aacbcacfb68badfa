"""The page's first line is the truth about the release, also when the fleet is well again after going back."""

from typing import Any

from checks.gate.htmlreport import render_html
from checks.gate.outcomes import Outcome


def page(timeline: list[dict[str, Any]]) -> str:
    return render_html(
        {
            "release": {"version": "1.2.0", "commit": "c" * 40, "digest": "d" * 64},
            "inventory": "sandbox",
            "phase": "rollback",
            "started": "2026-01-01T00:00:00+00:00",
            "seconds": 1.0,
            "gate": "open",
            "exit_code": 0,
            "totals": {outcome.value: 0 for outcome in Outcome},
            "unimplemented": 0,
            "allow_unimplemented": False,
            "problems": [],
            "refused_waivers": [],
            "items": [],
            "timeline": timeline,
        }
    )


JUDGED = {"name": "judge", "title": "paired load", "outcome": "failed", "detail": "5 of 240 requests failed"}
BACK = {"name": "back", "title": "switch back", "outcome": "done", "detail": "app1"}
GOOD = {"name": "post", "title": "checks after the release", "outcome": "done", "detail": "52 pass"}


def test_a_release_that_was_taken_back_is_not_announced_as_an_open_gate() -> None:
    html = page([JUDGED, BACK])
    assert "Release 1.2.0 did not pass, and was taken back" in html
    assert "5 of 240 requests failed" in html
    assert "<h1>Gate open" not in html


def test_one_that_failed_and_did_not_get_back_is_not_said_to_be_back() -> None:
    html = page([JUDGED, {**BACK, "outcome": "failed"}])
    assert "Release 1.2.0 did not pass<" in html


def test_a_good_release_opens_with_the_open_gate() -> None:
    assert "<h1>Gate open</h1>" in page([GOOD])
