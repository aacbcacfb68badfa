"""Breaks of speed: loads that prove less than they seem to, and answers larger than they need to be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from checks.breaks.edge import rewritten
from checks.gate import CouldNotLook, DidNotApply, MachineUnderCheck, compliant_variant, sabotage
from checks.gate.workbench import Workbench


@contextmanager
def _presented(bench: Workbench, change: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """The load of this release with a change, shown to the checks instead of the real one."""
    if bench.load is None:
        raise CouldNotLook("no load to change; give prove --merge-load FILE")
    load = json.loads(bench.load.read_text())
    before = json.dumps(load, sort_keys=True)
    change(load)
    if json.dumps(load, sort_keys=True) == before:
        raise DidNotApply("the load is as it was")
    place = bench.scratch / "changed-load.json"
    place.write_text(json.dumps(load))
    bench.present_load(place)
    try:
        yield
    finally:
        bench.withdraw()


@sabotage("POST-PERF-1", on=None, reason="answered well")
def a_third_of_the_planned_requests_never_came_back(bench: Workbench) -> Iterator[None]:
    """The generator planned as declared, and reached two thirds."""

    def change(load: dict[str, Any]) -> None:
        load["achieved"]["good"] = int(load["offered"]["requests"] * 0.67)

    with _presented(bench, change):
        yield


@sabotage("POST-PERF-1", on=None, near_miss=True, reason="counted")
def a_fine_load_was_put_on_another_release(bench: Workbench) -> Iterator[None]:
    """A load.json from last week: sound in itself, but these slots have never seen so many searches."""

    def change(load: dict[str, Any]) -> None:
        search = load["endpoints"]["search"]
        search["requests"] += 10_000_000
        load["offered"]["requests"] = load["achieved"]["good"] = load["achieved"]["requests"] + 10_000_000

    with _presented(bench, change):
        yield


@sabotage("POST-PERF-1", on=None, expects="ERROR", may_also_red=("POST-PERF-2", "POST-PERF-5"), reason="void")
def the_generator_was_short_of_breath(bench: Workbench) -> Iterator[None]:
    """A void run proves nothing, however good its figures look."""

    def change(load: dict[str, Any]) -> None:
        load["voided"] = ["the generator used 0.99 of a core"]

    with _presented(bench, change):
        yield


@sabotage("POST-PERF-2", on=None, reason="outcome|missed")
def an_objective_was_missed(bench: Workbench) -> Iterator[None]:
    """The load itself says so."""

    def change(load: dict[str, Any]) -> None:
        load["outcome"], load["missed"] = "missed", ["search: p95 900.0 ms (objective 500 ms)"]

    with _presented(bench, change):
        yield


@sabotage("POST-PERF-2", on=None, near_miss=True, reason="login: percentiles")
def the_verdict_is_good_but_one_percentile_is_not(bench: Workbench) -> Iterator[None]:
    """The conclusion was drawn from other numbers than those that are written down."""

    def change(load: dict[str, Any]) -> None:
        load["endpoints"]["login"]["p99_ms"] = load["objectives"]["login"]["p99_ms"] + 1

    with _presented(bench, change):
        yield


@compliant_variant("POST-PERF-2", on=None)
def every_percentile_is_just_within_its_objective(bench: Workbench) -> Iterator[None]:
    """At the limit is within the limit."""

    def change(load: dict[str, Any]) -> None:
        for name, numbers in load["endpoints"].items():
            numbers |= {key: load["objectives"][name][key] for key in ("p95_ms", "p99_ms")}

    with _presented(bench, change):
        yield


@sabotage("PERF-APP-4", on="lb", may_also_red=("INF-LB-6",), reason="encoding")
def one_place_has_compression_switched_off(machine: MachineUnderCheck) -> Iterator[None]:
    """On for the server, off where the service is."""
    change = "sed -i 's/        proxy_pass https:.*/&\\n        gzip off;/' $f"
    with rewritten(machine, change, shows="gzip off;"):
        yield


@sabotage("PERF-APP-4", on="lb", near_miss=True, may_also_red=("INF-LB-6",), reason="encoding")
def everything_but_json_is_compressed(machine: MachineUnderCheck) -> Iterator[None]:
    """Compression is on, and the only type that this service answers with is not in the list."""
    change = "sed -i 's/gzip_types application.json /gzip_types /' $f"
    with rewritten(machine, change, shows="gzip_types application/problem+json"):
        yield


@compliant_variant("PERF-APP-4", on="lb")
def the_level_of_compression_is_another(machine: MachineUnderCheck) -> Iterator[None]:
    """Level 6 instead of 4."""
    with rewritten(
        machine, "sed -i 's/gzip_comp_level 4;/gzip_comp_level 6;/' $f", shows="gzip_comp_level 6;"
    ):
        yield
