import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadtests import judge as judging
from loadtests import judge_bench
from loadtests.inference import binomial_more, bounds, fisher_more, student_t
from loadtests.judge import FAIL, INCONCLUSIVE, NOT_LOOKED_AT, PASS, judge
from loadtests.slices import Slice, SliceError, read_slices
from loadtests.slo import load_slo

NUMBERS = load_slo().judge.model_copy(update={"resamples": 800})
SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _sides(seed: int, pairs: int, **candidate: float) -> tuple[list[Slice], list[Slice]]:
    rng = np.random.default_rng(seed)
    return judge_bench.slices(rng, pairs), judge_bench.slices(rng, pairs, **candidate)


def _changed(slices: list[Slice], **changes: Any) -> list[Slice]:
    return [found.model_copy(update=changes) for found in slices]


def _outcomes(baseline: list[Slice], candidate: list[Slice]) -> dict[str, str]:
    return {found.name: found.outcome for found in judge(baseline, candidate, NUMBERS).criteria}


@FEW
@given(SEEDS, st.integers(0, 40))
def test_slices_against_themselves_never_fail(seed: int, pairs: int) -> None:
    baseline, _ = _sides(seed, pairs)
    expected = PASS if pairs >= NUMBERS.min_pairs else INCONCLUSIVE
    assert judge(baseline, baseline, NUMBERS).verdict == expected


@FEW
@given(SEEDS)
def test_half_again_as_dear_fails(seed: int) -> None:
    baseline, candidate = _sides(seed, 40, cpu=1.5, latency=1.5)
    assert judge(baseline, candidate, NUMBERS).verdict == FAIL


@FEW
@given(SEEDS)
def test_half_as_dear_passes(seed: int) -> None:
    assert judge(*_sides(seed, 40, cpu=0.5, latency=0.5), NUMBERS).verdict == PASS


@FEW
@given(SEEDS, st.randoms(use_true_random=False))
def test_the_order_of_lines_does_not_matter(seed: int, shuffler: Any) -> None:
    baseline, candidate = _sides(seed, 15, cpu=1.1)
    shuffled = list(baseline)
    shuffler.shuffle(shuffled)
    assert judge(shuffled, candidate, NUMBERS) == judge(baseline, candidate, NUMBERS)


@FEW
@given(SEEDS, st.integers(25, 600))
def test_errors_of_the_candidate_fail_even_with_few_pairs(seed: int, errors: int) -> None:
    baseline, candidate = _sides(seed, 15)
    spread = [min(40, max(0, errors - 40 * place)) for place in range(15)]
    candidate = [
        found.model_copy(update={"errors": bad}) for found, bad in zip(candidate, spread, strict=True)
    ]
    assert judge(baseline, candidate, NUMBERS).verdict == FAIL
    assert judge(baseline[:9], candidate[:9], NUMBERS).verdict == FAIL


def test_identical_versions_fail_seldom_and_slower_ones_are_noticed() -> None:
    rows = {row.candidate: row for row in judge_bench.table(25, [30], NUMBERS)}
    assert rows["identical"].fail == 0
    assert rows["identical"].passed >= 0.7
    assert rows["+25 %"].fail >= 0.9
    assert rows["+50 %"].fail == 1
    assert rows["+1 SQL"].fail == 1
    assert rows["identical"].naive_fail > 0.15


def test_one_error_is_neither_proof_nor_nothing() -> None:
    baseline, candidate = _sides(1, 20)
    candidate[3] = candidate[3].model_copy(update={"errors": 1})
    assert _outcomes(baseline, candidate)["errors"] == INCONCLUSIVE
    assert judge(baseline, candidate, NUMBERS).verdict == INCONCLUSIVE


def test_errors_in_unpaired_slices_count() -> None:
    baseline, candidate = _sides(1, 12)
    candidate += [found.model_copy(update={"pair": found.pair + 100, "errors": 20}) for found in candidate]
    verdict = judge(baseline, candidate, NUMBERS)
    assert (verdict.verdict, verdict.pairs, verdict.unpaired) == (FAIL, 12, 12)


def test_latencies_alone_can_be_judged() -> None:
    baseline, candidate = (
        [Slice(pair=found.pair, latencies_ms=found.latencies_ms) for found in side] for side in _sides(2, 60)
    )
    slower = [
        found.model_copy(update={"latencies_ms": [1.5 * x for x in found.latencies_ms]})
        for found in candidate
    ]
    outcomes = _outcomes(baseline, candidate)
    assert outcomes["errors"] == outcomes["cpu"] == NOT_LOOKED_AT
    assert judge(baseline, candidate, NUMBERS).verdict == PASS
    assert judge(baseline, slower, NUMBERS).verdict == FAIL


def test_without_anything_to_compare_nothing_passes() -> None:
    empty = [Slice(pair=number, latencies_ms=[]) for number in range(30)]
    verdict = judge(empty, empty, NUMBERS)
    assert verdict.verdict == INCONCLUSIVE
    assert "neither CPU nor latencies" in verdict.sentence


def test_noisy_medians_do_not_withhold_what_cpu_shows() -> None:
    rng = np.random.default_rng(8)
    baseline, candidate = _sides(4, 60)
    wild = [
        found.model_copy(update={"latencies_ms": [float(x * np.exp(rng.normal(0.1, 1.5))) for x in [25.0]]})
        for found in candidate
    ]
    assert _outcomes(baseline, wild)["p50"] == INCONCLUSIVE
    assert judge(baseline, wild, NUMBERS).verdict == PASS


def test_a_counter_that_the_baseline_never_moved_fails() -> None:
    baseline, candidate = _sides(5, 12)
    assert (
        _outcomes(_changed(baseline, counters={"n": 0.0}), _changed(candidate, counters={"n": 1.0}))["n"]
        == FAIL
    )
    assert (
        _outcomes(_changed(baseline, counters={"n": 0.0}), _changed(candidate, counters={"n": 0.0}))["n"]
        == PASS
    )


def test_a_counter_of_one_side_only_is_named_as_not_looked_at() -> None:
    baseline, candidate = _sides(5, 12)
    assert _outcomes(_changed(baseline, counters={"a": 1.0}), candidate)["a"] == NOT_LOOKED_AT


def test_a_counter_needs_pairs_too() -> None:
    assert _outcomes(*_sides(5, 5))["sql_statements"] == INCONCLUSIVE


@pytest.mark.parametrize(
    ("base", "other", "outcome"),
    [(400.0, 490.0, PASS), (400.0, 700.0, FAIL), (700.0, 700.0, NOT_LOOKED_AT)],
)
def test_the_tail_is_held_to_its_objective(base: float, other: float, outcome: str) -> None:
    def side(tail: float) -> list[Slice]:
        return [Slice(pair=number, latencies_ms=[20.0] * 36 + [tail] * 4) for number in range(12)]

    assert _outcomes(side(base), side(other))["p95"] == outcome


def test_a_tail_of_a_few_slices_proves_nothing() -> None:
    slices = [Slice(pair=number, latencies_ms=[20.0] * 40) for number in range(12)]
    stalled = [*slices[:11], Slice(pair=11, latencies_ms=[900.0] * 40)]
    assert _outcomes(slices, stalled)["p95"] == INCONCLUSIVE
    assert (
        _outcomes(slices[:5], [Slice(pair=n, latencies_ms=[900.0]) for n in range(5)])["p95"] == INCONCLUSIVE
    )


# The statistics themselves, against values from tables.


@pytest.mark.parametrize(
    ("alpha", "freedom", "value"),
    [
        (0.025, 1, 12.7062),
        (0.025, 2, 4.3027),
        (0.025, 3, 3.1824),
        (0.005, 9, 3.2498),
        (0.05, 19, 1.7291),
        (0.025, 100, 1.984),
    ],
)
def test_student_t(alpha: float, freedom: int, value: float) -> None:
    assert student_t(alpha, freedom) == pytest.approx(value, abs=1e-4)


def test_exact_tests() -> None:
    assert fisher_more(5, 10, 0, 10) == pytest.approx(252 / 15504)
    assert fisher_more(0, 10, 5, 10) == pytest.approx(1.0)
    assert binomial_more(1, 10, 0.1) == pytest.approx(1 - 0.9**10)
    assert binomial_more(0, 10, 0.1) == 1.0


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=40), st.floats(0.001, 0.2))
@FEW
def test_bounds_hold_the_mean_between_them_and_repeat(values: list[float], alpha: float) -> None:
    array = np.array(values)
    lower, upper = bounds(array, alpha, alpha, 500, 1)
    assert lower <= array.mean() <= upper
    assert bounds(array, alpha, alpha, 500, 1) == (lower, upper)


def test_bounds_are_wrong_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(9)
    missed = sum(bounds(rng.normal(0, 1, 12), 0.05, 0.05, 500, 1)[0] > 0 for _ in range(400))
    assert missed / 400 < 0.09


# Files and the command.


def _file(path: Path, slices: list[Slice]) -> str:
    path.write_text("".join(found.line() for found in slices))
    return str(path)


@pytest.mark.parametrize(("factor", "pairs", "code"), [(1.0, 60, 0), (1.5, 30, 1), (1.0, 4, 3)])
def test_the_command_exits_by_its_verdict(tmp_path: Path, factor: float, pairs: int, code: int) -> None:
    baseline, candidate = _sides(7, pairs, cpu=factor)
    files = [_file(tmp_path / "A.jsonl", baseline), _file(tmp_path / "B.jsonl", candidate)]
    out = tmp_path / "out" / "verdict.json"
    assert judging.main([*files, "--out", str(out)]) == code
    document = json.loads(out.read_text())
    assert document["verdict"] == {0: PASS, 1: FAIL, 3: INCONCLUSIVE}[code]
    assert document["pairs"] == pairs
    assert {found["name"] for found in document["criteria"]} >= {"errors", "cpu", "p50", "p95"}


def test_the_command_runs_as_a_process_with_the_fewest_fields(tmp_path: Path) -> None:
    for name in ("A", "B"):
        lines = [json.dumps({"pair": number, "latencies_ms": [10 + number, 12, 11]}) for number in range(12)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n\n")
    command = [sys.executable, "-m", "loadtests.judge", str(tmp_path / "A.jsonl"), str(tmp_path / "B.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("PASS: not worse than the baseline in p50")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ("[1]", "not an object"),
        ('{"pair": 1}', "latencies_ms: Field required"),
        ('{"latencies_ms": [1]}', "pair: Field required"),
        ('{"pair": true, "latencies_ms": [1]}', "pair"),
        ('{"pair": 1, "latencies_ms": [1, "2"]}', "latencies_ms.1"),
        ('{"pair": 1, "latencies_ms": [-1]}', "latencies_ms.0"),
        ('{"pair": 1, "latencies_ms": [NaN]}', "latencies_ms.0"),
        (
            '{"pair": 1, "latencies_ms": [1], "cpu_ms": 3}',
            "cpu_ms: unknown key; known keys are pair, latencies_ms",
        ),
        ('{"pair": 1, "latencies_ms": [1, 2], "requests": 1}', "requests is 1, yet there are 2 latencies"),
        ('{"pair": 1, "latencies_ms": [1], "errors": 2}', "errors is 2, yet only 1 requests were sent"),
        ('{"pair": 1, "latencies_ms": [1], "counters": {"sql": -2}}', "counters.sql"),
        ('{"pair": 0, "latencies_ms": [1]}', "pair 0 was already on line 1"),
    ],
)
def test_a_malformed_line_is_one_error_with_its_place(
    tmp_path: Path, line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good = tmp_path / "A.jsonl"
    good.write_text('{"pair": 0, "latencies_ms": [1.5]}\n')
    bad = tmp_path / "B.jsonl"
    bad.write_text('{"pair": 0, "latencies_ms": [1.5]}\n' + line + "\n")
    with pytest.raises(SliceError):
        read_slices(bad)
    assert judging.main([str(good), str(bad)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"{bad}:2: ")
    assert said in error
    assert error.count("\n") == 1


def test_a_missing_file_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judging.main([str(tmp_path / "A"), str(tmp_path / "B")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_the_bench_prints_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "table.json"
    assert judge_bench.main(["--judgements", "3", "--pairs", "12", "--out", str(out)]) == 0
    assert [row["candidate"] for row in json.loads(out.read_text())] == [
        "identical",
        "+10 %",
        "+25 %",
        "+50 %",
        "+1 SQL",
    ]
    assert capsys.readouterr().out.count("\n") == 6
