"""Whole loads against a server that runs as a process and misbehaves as told."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Serve

from inventories.schema import Inventory
from loadtests import accounts, judge, pairs, run, samples, target
from loadtests.accounts import AccountsError


def _run(inventory_file: Path, slo_file: Path, out: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    code = run.main(
        [
            str(inventory_file),
            "--scenario",
            "smoke",
            "--target",
            "app1",
            "--slo",
            str(slo_file),
            "--out",
            str(out),
            *arguments,
        ]
    )
    return code, json.loads((out / "load.json").read_text())


def test_a_sound_service_meets_its_objectives(
    serve_machine: Serve,
    inventory_file: Path,
    slo_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    serve_machine("app1")
    out = tmp_path / "load"
    code, summary = _run(inventory_file, slo_file, out, "--rate", "50", "--duration", "2")
    assert code == 0, summary["missed"] or summary["voided"] or (out / "locust.log").read_text()
    assert summary["offered"]["requests"] == summary["achieved"]["requests"] == 100
    assert {name: found["requests"] for name, found in summary["endpoints"].items()} == {
        "search": 60, "keys_list": 10, "databases_list": 12, "profile": 10, "health": 6, "login": 2
    }  # fmt: skip
    assert summary["errors"] == 0
    assert summary["outcome"] == "met"
    assert summary["generator"]["achieved_ratio"] == 1.0
    page = (out / "load.html").read_text()
    assert page.count("<circle") == 100
    assert not re.search(r"(src|href)=", page)
    assert "Objectives met." in capsys.readouterr().out


def test_a_stall_shows_in_the_percentiles_as_it_was(
    serve_machine: Serve, inventory_file: Path, slo_file: Path, tmp_path: Path
) -> None:
    """A closed loop would wait with the server and report a p95 of a few milliseconds."""
    stall = 1.5
    serve_machine("app1", freeze={"after": 1.0, "seconds": stall})
    code, summary = _run(inventory_file, slo_file, tmp_path / "load", "--rate", "50", "--duration", "3")
    record = samples.read(tmp_path / "load" / "samples.jsonl")
    searches = sorted(sample.planned for sample in record.samples if sample.endpoint == "search")
    end = searches[0] + 1.0 + stall
    truth = [max(0.0, end - at) * 1000 if at >= end - stall else 0.0 for at in searches]
    expected = samples.percentile(truth, 0.95)
    assert expected is not None
    assert expected > 1000
    # Never less than the truth; more only by what a busy computer adds when all stalled answers are written at once.
    assert 0.95 * expected <= summary["endpoints"]["search"]["p95_ms"] <= 2 * expected
    assert summary["outcome"] == "missed"
    assert code == 1
    assert any(fault.startswith("search: p95") for fault in summary["missed"])


def test_failed_requests_miss_the_objectives(
    serve_machine: Serve, inventory_file: Path, slo_file: Path, tmp_path: Path
) -> None:
    serve_machine("app1", fail_every=10)
    code, summary = _run(inventory_file, slo_file, tmp_path / "load", "--rate", "60", "--duration", "1")
    assert code == 1
    # The first searches are the preparation's own; of those after it one in ten fails.
    assert summary["errors_by_kind"] == {"http_500": summary["errors"]}
    assert 3 <= summary["errors"] <= 4
    assert any("failed" in fault for fault in summary["missed"])


def test_a_generator_that_breaks_off_is_void(
    serve_machine: Serve,
    inventory_file: Path,
    slo_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve_machine("app1")
    broken = tmp_path / "broken.py"
    broken.write_text("raise RuntimeError('no load from here')\n")
    monkeypatch.setattr(run, "LOCUSTFILE", broken)
    code, summary = _run(inventory_file, slo_file, tmp_path / "load", "--duration", "1")
    assert code == 5
    assert summary["outcome"] == "void"
    assert "wrote nothing" in summary["voided"][0]
    assert "no load from here" in (tmp_path / "load" / "locust.log").read_text()


def test_the_stock_locust_command_works(serve_machine: Serve, inventory_file: Path, tmp_path: Path) -> None:
    serve_machine("app1")
    command = [
        sys.executable, "-m", "locust", "-f", str(run.LOCUSTFILE), "--host", "https://app1:8443", "--headless",
        "-u", "10", "-r", "10", "-t", "2s", "--rate", "40", "--arrivals", "poisson", "--json",
    ]  # fmt: skip
    environment = os.environ | {"LAUNCHGATE_INVENTORY": str(inventory_file)}
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found = {entry["name"]: entry for entry in json.loads(done.stdout)}
    assert found["search"]["num_requests"] > 15
    assert sum(entry["num_failures"] for entry in found.values()) == 0
    # Buckets of a tenth of a millisecond, where Locust's own are whole ones at best.
    assert any(not float(bucket).is_integer() for bucket in found["search"]["response_times"])


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_stopped_run_leaves_no_generator_behind(
    serve_machine: Serve, inventory_file: Path, tmp_path: Path
) -> None:
    serve_machine("app1")
    command = [
        sys.executable,
        "-m",
        "loadtests.run",
        str(inventory_file),
        "--target",
        "app1",
        "--out",
        str(tmp_path),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while not (generators := _children(process.pid)) and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    assert len(generators) == 1
    assert not Path(f"/proc/{generators[0]}").exists()


@pytest.mark.parametrize("host", ["https://app1:8443", "https://nobody.invalid"])
def test_a_load_that_cannot_be_prepared_says_so_and_ends(
    inventory_file: Path, tmp_path: Path, host: str
) -> None:
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        str(run.LOCUSTFILE),
        "--host",
        host,
        "--headless",
        "-t",
        "5s",
    ]
    environment = os.environ | {"LAUNCHGATE_INVENTORY": str(inventory_file)}
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 5
    assert "ca.crt: the CA certificate is missing" in done.stderr or "does not resolve" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--scenario", "hurricane"], 2, "no scenario 'hurricane'; use one of smoke, average, peak"),
        (["--rate", "-3"], 2, "a rate must be 0 or more"),
        (["--duration", "0"], 2, "duration must be above 0"),
        (["--target", "db1"], 2, "db1 is not an app machine; use public or one of app1, app2"),
        (["--target", "app9"], 2, "unknown machine 'app9'"),
        (["--target", "app1"], 2, "ca.crt: the CA certificate is missing"),
    ],
)
def test_wrong_input_is_one_clear_error(
    inventory_file: Path,
    tmp_path: Path,
    arguments: list[str],
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run.main([str(inventory_file), *arguments, "--out", str(tmp_path / "load")]) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_pairs_of_two_like_machines_pass_and_a_dearer_one_fails(
    serve_machine: Serve,
    inventory_file: Path,
    slo_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    serve_machine("app1", sql=4, trusting=True)
    serve_machine("app2", sql=3, trusting=True)
    out = tmp_path / "pairs"
    common = [
        str(inventory_file),
        "--baseline",
        "app2",
        "--candidate",
        "app1",
        "--rate",
        "60",
        "--slo",
        str(slo_file),
        "--out",
        str(out),
    ]
    assert pairs.main([*common, "--pairs", "8", "--slice-seconds", "0.1"]) == 0
    assert pairs.main([*common, "--pairs", "4", "--slice-seconds", "0.1", "--append"]) == 0
    lines = [
        [json.loads(line) for line in (out / name).read_text().splitlines()]
        for name in ("A.jsonl", "B.jsonl")
    ]
    assert [found["pair"] for found in lines[0]] == [found["pair"] for found in lines[1]] == list(range(12))
    for a, b in zip(*lines, strict=True):
        # The same questions on both sides, so what they cost in statements differs by the release alone.
        searches = a["counters"]["sql_statements"] / 3
        assert b["counters"]["sql_statements"] == pytest.approx(4 * searches)
        assert a["requests"] == b["requests"] == 6
        assert a["cpu_ms_per_request"] > 0
    assert judge.main([str(out / "A.jsonl"), str(out / "B.jsonl")]) == 1
    assert "sql_statements per request" in capsys.readouterr().out.splitlines()[-1]
    assert json.loads((out / "pairs.json").read_text())["voided"] is None


def test_pairs_need_two_machines_that_answer(
    serve_machine: Serve, inventory_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serve_machine("app2")
    arguments = [
        str(inventory_file),
        "--baseline",
        "app2",
        "--candidate",
        "app1",
        "--out",
        str(tmp_path / "pairs"),
    ]
    assert pairs.main([*arguments, "--pairs", "1", "--slice-seconds", "0.1"]) == 5
    assert "app2 against app1: refused" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        pairs.main([*arguments[:3], "--candidate", "app2", "--out", str(tmp_path)])


def test_accounts_are_kept_and_mended(serve_machine: Serve, inventory: Inventory, tmp_path: Path) -> None:
    serve_machine("app1")
    through = target.machine(inventory, "app1")
    first = accounts.prepare(inventory, through, 2)
    file = tmp_path / "state" / "load" / "accounts.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert accounts.prepare(inventory, through, 2) == first
    kept = json.loads(file.read_text())
    kept[0] |= {"token": "expired", "key": "revoked", "database": "gone"}
    kept[1] |= {"email": "deleted@example.com", "token": "expired"}
    file.write_text(json.dumps(kept))
    mended = accounts.prepare(inventory, through, 2)
    assert mended[0].email == first[0].email
    assert mended[0].key != "revoked"
    assert mended[0].database.startswith("database-")
    assert mended[1].email not in (first[1].email, "deleted@example.com")
    assert accounts.prepare(inventory, through, 1) == mended[:1]
    assert len(json.loads(file.read_text())) == 2
    assert first[0].password not in repr(first[0])
    file.write_text("{")
    with pytest.raises(AccountsError, match="delete the file"):
        accounts.prepare(inventory, through, 2)


def test_a_service_that_refuses_to_prepare_is_named(serve_machine: Serve, inventory: Inventory) -> None:
    serve_machine("app2")
    through = target.machine(inventory, "app1")
    with pytest.raises(AccountsError, match=r"https://app1:8443: POST /auth/register got no answer"):
        accounts.prepare(inventory, through, 2)
