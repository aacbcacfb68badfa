"""Every outcome, from a check file to report and exit code."""

from __future__ import annotations

import datetime as dt
import json
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import jsonschema

if TYPE_CHECKING:
    from conftest import Bench

from checks.gate.reports import SCHEMA_FILE


def test_a_green_check_on_every_machine_opens_the_gate(green: Bench) -> None:
    ran = green.run()
    assert ran.rc == 0, ran.text
    assert ran.report["gate"] == "open"
    assert ran.item("T-APP-1")["hosts"] == ["app1", "app2"]
    assert ran.report["totals"]["PASS"] == 1
    assert "gate OPEN (exit 0)" in ran.text


def test_the_report_has_the_shape_of_its_schema(green: Bench) -> None:
    green.items("T-APP-2", "T-APP-3")
    ran = green.run()
    jsonschema.validate(ran.report, json.loads(SCHEMA_FILE.read_text()))
    page = (green.out / "report.html").read_text()
    assert "Gate closed" in page
    assert "T-APP-3" in page
    assert "http://" not in page
    suite = ET.parse(green.out / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "2", "0")
