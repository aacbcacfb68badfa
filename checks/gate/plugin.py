"""The pytest plugin: collects checks, runs them per machine, judges every item, writes the reports.

Collected, declared in the source, and executed must be the same set; whatever is missing is an ERROR.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from checks.gate import fixtures
from checks.gate.classify import classify
from checks.gate.declare import CheckDeclaration, check_declaration
from checks.gate.errors import GateUsageError
from checks.gate.evidence import Evidence, Observation
from checks.gate.fixtures import EVIDENCE, HOST_FIXTURE, NO_MACHINE, RUN, GateRun, SharedRun
from checks.gate.fleet import Fleet
from checks.gate.options import GateOptions, add_options, read_options
from checks.gate.outcomes import ExitCode, Outcome
from checks.gate.registry import CHECK_FILES, Registry, read_registry
from checks.gate.reports import write_reports
from checks.gate.summary import write_summary
from checks.gate.verdict import WAIVER_BUDGET, GateResult, RunRecord, judge
from checks.gate.waivers import read_book

LETTERS = {
    Outcome.PASS: (".", {"green": True}),
    Outcome.FAIL: ("F", {"red": True}),
    Outcome.ERROR: ("E", {"red": True}),
    Outcome.NOT_APPLICABLE: ("n", {"yellow": True}),
    Outcome.NOT_REVIEWED: ("r", {"yellow": True}),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the gate."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Validate all input before a machine is touched, then register the gate."""
    if config.option.help or config.option.version:
        return
    try:
        options = read_options(config)
    except GateUsageError as wrong:
        pytest.exit(str(wrong), returncode=ExitCode.USAGE)
    # One check file that does not import must not keep the others from running.
    config.option.continue_on_collection_errors = True
    config.option.reportchars = ""
    if config.option.tbstyle == "auto":
        config.option.tbstyle = "no"
    shared = next((one for one in config.pluginmanager.get_plugins() if isinstance(one, SharedRun)), None)
    fleet = shared.fleet if shared and shared.fleet else Fleet(options.inventory)
    fleet.forget()
    run = GateRun(options=options, fleet=fleet)
    config.stash[RUN] = run
    config.pluginmanager.register(fixtures, "launchgate-fixtures")
    config.pluginmanager.register(Gate(run, shared), "launchgate-gate")


class CheckModule(pytest.Module):
    """A check file: its `check_*` functions are the tests."""

    def funcnamefilter(self, name: str) -> bool:
        """Whether a function of that name is a check."""
        return name.startswith("check_")

    def classnamefilter(self, name: str) -> bool:  # noqa: ARG002
        """No class holds checks."""
        return False


class Gate:
    """One run of the gate inside pytest."""

    def __init__(self, run: GateRun, shared: SharedRun | None) -> None:
        self.options: GateOptions = run.options
        self.fleet = run.fleet
        self.shared = shared
        self.registry: Registry = read_registry(self.options.checks_root, set(self.options.catalogue))
        self.collected: dict[str, CheckDeclaration] = {}
        self.collected_functions: set[tuple[Path, str]] = set()
        self.broken_files: dict[Path, str] = {}
        self.executed: set[str] = set()
        self.records: list[RunRecord] = []
        self.raised: dict[str, tuple[Outcome, str, bool]] = {}
        self.problems: list[str] = list(self.registry.problems)
        self.result: GateResult | None = None
        self.started = dt.datetime.now(dt.UTC)

    # -- collection ------------------------------------------------------------------------------------

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
        """Check files are modules of checks wherever pytest is pointed at."""
        if not file_path.match(CHECK_FILES):
            return None
        return CheckModule.from_parent(parent, path=file_path)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One run for every machine of the check's roles."""
        declared = check_declaration(metafunc.function)
        if declared is None or declared.on is None:
            return
        names = self.fleet.names(declared.on) or [NO_MACHINE + "+".join(declared.on)]
        metafunc.parametrize(HOST_FIXTURE, names, ids=names, indirect=True)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember files that could not be imported: their items are ERROR."""
        if report.failed:
            path = Path(report.fspath) if report.fspath else Path(report.nodeid)
            told = str(report.longrepr).strip().splitlines()
            self.broken_files[(self.root / path).resolve()] = told[-1] if told else "no message"

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the selected items' checks; remember them before anything else deselects some."""
        kept: list[pytest.Item] = []
        for one in items:
            declared = check_declaration(getattr(one, "function", None))
            if not isinstance(one, pytest.Function) or not isinstance(one.parent, CheckModule):
                continue
            if declared is None:
                self.problems.append(f'{one.nodeid}: declares no item; write @item("ID", on=...)')
                continue
            self.collected_functions.add((one.path.resolve(), one.originalname or one.name))
            if set(declared.ids) & set(self.options.selected):
                one.add_marker(pytest.mark.timeout(declared.timeout_s))
                self.collected[one.nodeid] = declared
                kept.append(one)
        items[:] = kept
        if kept and any(HOST_FIXTURE in getattr(one, "fixturenames", ()) for one in kept):
            self.fleet.warm()

    # -- execution -------------------------------------------------------------------------------------

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, Any, None]:
        """Judge each phase of a run; the worst of the three counts."""
        answer = yield
        report: pytest.TestReport = answer.get_result()
        if item.nodeid not in self.collected:
            return
        raised = call.excinfo.value if call.excinfo else None
        if call.when == "call" or raised is not None:
            evidence = item.stash.get(EVIDENCE, None)
            judged = classify(raised, call.when, evidence)
            if item.get_closest_marker("xfail"):
                judged = (Outcome.ERROR, "marked xfail; expecting a failure excuses nothing", True)
            self.raised.setdefault(item.nodeid, judged)
            if call.when == "teardown":
                self.raised[item.nodeid] = judged
        if call.when == "teardown":
            self._record(item)
        _plain(report, self.raised.get(item.nodeid))

    def _record(self, item: pytest.Item) -> None:
        declared = self.collected[item.nodeid]
        outcome, reason, blind = self.raised.get(
            item.nodeid, (Outcome.ERROR, "it was set up but never ran", True)
        )
        evidence: Evidence | None = item.stash.get(EVIDENCE, None)
        seen: tuple[Observation, ...] = tuple(evidence.observations) if evidence else ()
        host = evidence.host if evidence else fixtures.host_of(item)
        seconds = time.monotonic() - item.stash.get(fixtures.STARTED, time.monotonic())
        self.executed.add(item.nodeid)
        self.records.append(RunRecord(item.nodeid, declared.ids, host, outcome, reason, seconds, seen, blind))

    def pytest_report_teststatus(self, report: pytest.TestReport | pytest.CollectReport) -> Any:
        """One letter a run: . pass, F fail, E could not look, n not applicable, r not reviewed."""
        outcome = getattr(report, "launchgate", None)
        if outcome is None or not isinstance(report, pytest.TestReport):
            return None
        if report.when != "call" and not report.failed:
            return "", "", ""
        letter, markup = LETTERS[outcome]
        return outcome.value.lower(), letter, (outcome.value, markup)

    # -- judgement -------------------------------------------------------------------------------------

    def pytest_keyboard_interrupt(self) -> None:
        """Pass an interruption on to the prove engine."""
        if self.shared is not None:
            self.shared.interrupted = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Judge, write the reports, and set the exit code that scripts rely on."""
        self.result = self._judge()
        if self.shared is not None:
            self.shared.result = self.result
        if self.shared is None or self.shared.write_reports:
            write_reports(self.result, self.options, self.started)
        session.exitstatus = self.result.exit_code

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The ten-second summary."""
        if self.result is not None:
            write_summary(terminalreporter, self.result, self.options.out / "report.html")

    def _judge(self) -> GateResult:
        options = self.options
        book = read_book(options.inventory.waivers_file, options.catalogue, dt.datetime.now(dt.UTC).date())
        blind = self._blind()
        items = judge(options.selected.values(), self.records, self.registry.ids(), blind, book)
        return GateResult(
            phase=options.phase,
            inventory=options.inventory.name,
            items=items,
            problems=list(dict.fromkeys(self.problems)),
            refused=book.refused,
            allow_unimplemented=options.allow_unimplemented,
            waiver_budget=getattr(options.inventory.settings, "waiver_budget", WAIVER_BUDGET),
        )

    def _blind(self) -> dict[str, str]:
        """By id, why not everything that is declared for it was executed."""
        blind: dict[str, str] = {}
        for node, declared in self.collected.items():
            if node not in self.executed:
                for one in declared.ids:
                    blind[one] = f"{node} was collected but not executed (deselected or interrupted)"
        for check in self.registry.checks:
            if (check.path, check.name) not in self.collected_functions:
                told = self.broken_files.get(check.path)
                why = f"does not import: {told}" if told else "was not collected; run the whole of checks"
                for one in check.ids:
                    blind[one] = f"{check.path.name}::{check.name} {why}"
        return blind

    @property
    def root(self) -> Path:
        """Where pytest's relative paths start."""
        return self._root

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Remember where relative paths start."""
        self._root = session.config.rootpath


def _plain(report: pytest.TestReport, judged: tuple[Outcome, str, bool] | None) -> None:
    """Give pytest's own terminal a report without tracebacks of our signals."""
    if judged is None:
        return
    outcome, reason, _ = judged
    report.launchgate = outcome  # type: ignore[attr-defined]
    if outcome in (Outcome.PASS, Outcome.NOT_APPLICABLE, Outcome.NOT_REVIEWED):
        report.outcome, report.longrepr = "passed", None
    elif report.outcome != "passed" or report.when == "call":
        report.outcome, report.longrepr = "failed", reason
