"""Writes one judged run as report.json (for scripts), junit.xml (for CI) and report.html (for people)."""

from __future__ import annotations

import datetime as dt
import json
import xml.etree.ElementTree as ET  # written here, never parsed
from pathlib import Path
from typing import Any

from checks.gate.htmlreport import render_html
from checks.gate.options import GateOptions
from checks.gate.outcomes import RED, Outcome
from checks.gate.verdict import GateResult, ItemResult, RunRecord
from checks.gate.waivers import Entry

SCHEMA_VERSION = 1
SCHEMA_FILE = Path(__file__).with_name("report.schema.json")


def write_reports(result: GateResult, options: GateOptions, started: dt.datetime) -> None:
    """Write the three files into `options.out`."""
    report = as_report(result, options, started)
    (options.out / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    (options.out / "report.html").write_text(render_html(report))
    ET.ElementTree(as_junit(result)).write(options.out / "junit.xml", encoding="utf-8", xml_declaration=True)


def as_report(result: GateResult, options: GateOptions, started: dt.datetime) -> dict[str, Any]:
    """The document of report.json; its schema is report.schema.json."""
    release = options.release or {}
    proofs = {one["id"]: one for one in (options.proof or {}).get("items", [])}
    report: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "release": {key: release.get(key) for key in ("version", "commit", "digest")},
        "inventory": result.inventory,
        "phase": result.phase,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round((dt.datetime.now(dt.UTC) - started).total_seconds(), 2),
        "gate": "open" if result.is_open else "closed",
        "exit_code": result.exit_code,
        "totals": result.totals,
        "unimplemented": len(result.unimplemented),
        "allow_unimplemented": result.allow_unimplemented,
        "problems": result.closing_reasons(),
        "refused_waivers": result.refused,
        "items": [_item(one, proofs.get(one.item.id)) for one in result.items],
    }
    if options.load is not None:
        report["load"] = options.load
    if options.timeline is not None:
        report["timeline"] = options.timeline
    return report


def _item(one: ItemResult, proof: dict[str, Any] | None) -> dict[str, Any]:
    item = one.item
    told: dict[str, Any] = {
        "id": item.id,
        "title": item.title,
        "chapter": item.chapter,
        "severity": item.severity,
        "phase": item.phase,
        "outcome": one.outcome.value,
        "measured": one.measured.value,
        "implemented": one.implemented,
        "hosts": list(one.hosts),
        "seconds": round(one.seconds, 3),
        "why": item.why,
        "how": item.how,
        "evidence": [seen for run in one.runs for seen in _evidence(run)],
    }
    if one.reason:
        told["reason"] = one.reason
    if one.measured in RED:
        told["cure"] = item.cure
    if one.waiver:
        told["waiver"] = _entry(one.waiver)
    if one.attestation:
        told["attestation"] = _entry(one.attestation)
    if proof is not None:
        sabotages = proof["sabotages"]
        killed = sum(1 for broken in sabotages if broken["verdict"] == "KILLED")
        told["proof"] = {"sabotages": len(sabotages), "killed": killed}
    return told


def _evidence(run: RunRecord) -> list[dict[str, Any]]:
    return [
        {
            "host": seen.host,
            "looked_at": seen.looked_at,
            "observed": seen.observed,
            "expected": seen.expected,
            "holds": seen.holds,
            "check": run.node.rpartition("::")[2],
        }
        for seen in run.observations
    ]


def _entry(entry: Entry) -> dict[str, str]:
    return {
        "owner": entry.owner,
        "reason": entry.reason,
        "date": entry.date.isoformat(),
        "expires": entry.expires.isoformat(),
        "place": entry.place,
    }


def as_junit(result: GateResult) -> ET.Element:
    """One test case an item (FAIL and NOT_REVIEWED are failures, ERROR is an error) and one a problem."""
    problems = result.closing_reasons()
    red = [one for one in result.items if one.outcome in RED]
    errors = sum(1 for one in red if one.outcome is Outcome.ERROR)
    suite = ET.Element(
        "testsuite",
        name=f"launchgate {result.inventory} {result.phase}",
        tests=str(len(result.items) + len(problems)),
        failures=str(len(red) - errors),
        errors=str(errors + len(problems)),
        skipped=str(sum(1 for one in result.items if one.outcome is Outcome.NOT_APPLICABLE)),
        time=f"{sum(one.seconds for one in result.items):.3f}",
    )
    for number, problem in enumerate(problems, 1):
        case = ET.SubElement(suite, "testcase", classname="gate", name=f"problem {number}", time="0")
        ET.SubElement(case, "error", message=_clean(problem))
    for one in result.items:
        _junit_case(suite, one)
    root = ET.Element("testsuites")
    root.append(suite)
    return root


def _junit_case(suite: ET.Element, one: ItemResult) -> None:
    name = f"{one.item.id} {one.item.title}"
    case = ET.SubElement(suite, "testcase", classname=one.item.chapter, name=name, time=f"{one.seconds:.3f}")
    message = _clean(one.reason)
    if one.outcome is Outcome.ERROR:
        ET.SubElement(case, "error", message=message)
    elif one.outcome in RED:
        ET.SubElement(case, "failure", message=message, type=one.outcome.value)
    elif one.outcome is Outcome.NOT_APPLICABLE:
        ET.SubElement(case, "skipped", message=message)
    elif one.outcome is not Outcome.PASS:
        out = ET.SubElement(case, "system-out")
        out.text = _clean(f"{one.outcome.value}, measured {one.measured.value}: {one.reason}")


def _clean(text: str) -> str:
    """Text without the control characters that XML cannot hold."""
    return "".join(one for one in text if one >= " " or one in "\n\t")
