import json
import socket
from pathlib import Path

import pytest

from inventories.schema import Inventory
from loadtests import operations, report, results, samples, scenarios, scrape, target
from loadtests.samples import Audit, Record, Sample
from loadtests.slo import SLO_FILE, SloError, load_slo

SLO = load_slo()
SCENARIO = scenarios.scenario(SLO, "smoke")
SOUND = Audit(
    planned=100, sent=100, unsent_busy=0, cpu_seconds=1, wall_seconds=10, lag_p99_ms=1, lag_max_ms=2, users=9
)


def _samples(count: int = 100, error: str | None = None) -> list[Sample]:
    names = list(SCENARIO.mix)
    return [
        Sample(n / 10, n / 10, round(n / 10 + 0.02, 3), names[n % len(names)], 200, error, 50)
        for n in range(count)
    ]


def _audited(**changes: float) -> Audit:
    return Audit(**({name: getattr(SOUND, name) for name in Audit.__dataclass_fields__} | changes))  # type: ignore[arg-type]


def test_a_sound_run_within_objectives_is_met() -> None:
    summary = results.summarise(Record(_samples(), SOUND), SCENARIO, SLO, "public")
    assert (summary["outcome"], summary["missed"], summary["voided"]) == ("met", [], None)
    assert summary["overall"]["p95_ms"] == pytest.approx(20, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cpu_seconds": 9.5}, "0.95 of a core"),
        ({"lag_p99_ms": 200.0}, "200.0 ms late"),
        ({"sent": 98}, "98 of 100 planned"),
        ({"planned": 0, "sent": 0}, "no request was planned"),
        ({"wall_seconds": 0.0}, "1.00 of a core"),
    ],
)
def test_a_generator_that_spoilt_its_run_voids_it(changes: dict[str, float], said: str) -> None:
    summary = results.summarise(Record(_samples(), _audited(**changes)), SCENARIO, SLO, "public")
    assert summary["outcome"] == "void"
    assert said in summary["voided"][0]
    assert "VOID" in results.sentence(summary)
    assert "proves nothing" in report.page(summary, Record(_samples(), SOUND))


def test_a_server_that_keeps_all_users_waiting_fails_and_does_not_void() -> None:
    waiting = [*_samples(60), *(Sample(6, 9, 9, "search", 0, "unsent", 0) for _ in range(40))]
    summary = results.summarise(Record(waiting, _audited(sent=60, unsent_busy=40)), SCENARIO, SLO, "public")
    assert summary["outcome"] == "missed"
    assert summary["errors_by_kind"] == {"unsent": 40}


def test_an_endpoint_without_a_number_does_not_pass() -> None:
    only = [sample for sample in _samples() if sample.endpoint != "login"]
    summary = results.summarise(Record(only, SOUND), SCENARIO, SLO, "public")
    assert summary["missed"] == ["login: not measured; no number, no pass"]


def test_nothing_measured_is_still_a_page() -> None:
    record = Record(trouble="it broke off")
    summary = results.summarise(record, SCENARIO, SLO, "public")
    assert summary["voided"] == ["it broke off"]
    page = report.page(summary, record)
    assert "No request was answered" in page
    assert "left no audit" in page


def test_a_page_shows_errors_and_escapes_what_servers_say() -> None:
    summary = results.summarise(Record(_samples(error="<b>bad"), SOUND), SCENARIO, SLO, "<public>")
    page = report.page(summary, Record(_samples(error="<b>bad"), SOUND))
    assert "<b>bad" not in page
    assert "<public>" not in page
    assert page.count('fill="var(--bad)"') == 100
    assert 'class="bad"' in page


def test_a_record_is_read_back_as_written(tmp_path: Path) -> None:
    file = tmp_path / "samples.jsonl"
    writer = samples.Writer(file)
    writer.add(_samples(5))
    broken = samples.read(file)
    assert broken.audit is None
    assert broken.trouble == "the generator broke off before its last line"
    writer.close(SOUND)
    assert samples.read(file).samples == _samples(5)
    assert samples.read(file).audit == SOUND
    file.write_text('[0, 0, 0.1, "search", 200, null, 3]\n[0, 0, 0.')
    assert len(samples.read(file).samples) == 1
    assert samples.read(tmp_path / "none").trouble == "the generator wrote nothing"


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [samples.percentile(values, share) for share in (0, 0.5, 0.95, 0.99, 1)] == [1, 50, 95, 99, 100]
    assert samples.percentile([3.25], 0.95) == 3.25
    assert samples.percentile([], 0.5) is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("max_lag_p99_ms = 60.0", "max_lag_p99 = 60.0", "max_lag_p99: Extra inputs"),
        ("[objectives.login]", "[objectives.logon]", "no objective is declared for login"),
        ("login = 2", "", "an endpoint that the mix never asks for"),
        ("login = 2", "login = 0", "a weight must be 1 or more"),
        ("tolerance = 0.02", "tolerance = 0.2", "tolerance must be below margin"),
        ("default = 0.15", "", "counters needs a default"),
        ("default = 0.15", "default = -1.0", "a margin is negative"),
        ("schema = 1", "schema = 2", "schema: Input should be 1"),
        ("schema = 1", "schema =", "is not TOML"),
    ],
)
def test_wrong_objectives_are_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = SLO_FILE.read_text()
    assert old in text
    file = tmp_path / "slo.toml"
    file.write_text(text.replace(old, new))
    with pytest.raises(SloError) as refused:
        load_slo(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert said in str(refused.value)


def test_missing_objectives_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SloError, match="cannot be read"):
        load_slo(tmp_path / "none.toml")


def test_a_mix_may_only_ask_what_can_be_asked() -> None:
    strange = SLO.model_copy(update={"mix": {"teapot": 1}})
    with pytest.raises(SloError, match="'teapot' cannot be asked"):
        scenarios.scenario(strange, "smoke")


def test_answers_that_are_not_whole_are_wrong() -> None:
    assert operations.wrong(200, b'{"a": 1}\n') is None
    assert operations.wrong(200, b"<html>") == "garbled"
    assert operations.wrong(200, b'{"a": ') == "garbled"
    assert operations.wrong(502, b"{}") == "http_502"


def test_metrics_are_summed_by_name() -> None:
    text = '# TYPE a counter\na{x="1",y="} "} 2\na{x="2"} 3.5 1700000000\nb 1e3\n'
    assert scrape.parse(text) == {"a": 5.5, "b": 1000.0}
    with pytest.raises(scrape.ScrapeError, match="not a sample"):
        scrape.parse('a{x="1"}\n')


def test_costs_are_shared_by_everything_that_was_served_meanwhile() -> None:
    before = {scrape.CPU: 1.0, "sql_statements_total": 100.0, scrape.SERVED: 50.0}
    after = {scrape.CPU: 1.4, "sql_statements_total": 180.0, scrape.SERVED: 90.0}
    cpu, counters = scrape.per_request(before, after, 10)
    assert cpu == pytest.approx(10.0)
    assert counters == {"sql_statements": pytest.approx(2.0)}


def test_costs_are_differences_per_request() -> None:
    before = {scrape.CPU: 1.0, "sql_statements_total": 10.0}
    after = {scrape.CPU: 1.5, "sql_statements_total": 40.0, "redis_commands_total": 5.0}
    cpu, counters = scrape.per_request(before, after, 10)
    assert cpu == pytest.approx(50)
    assert counters == {"sql_statements": 3.0, "redis_commands": 0.5}
    with pytest.raises(scrape.ScrapeError, match="went backwards"):
        scrape.per_request(after, before, 10)
    with pytest.raises(scrape.ScrapeError, match="without requests"):
        scrape.per_request(before, after, 0)


def test_names_that_only_the_inventory_knows_are_dialled_at_its_addresses(
    inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge = target.by_name(inventory, "public")
    assert (edge.url, edge.address) == ("https://search.load-tests.internal", "127.0.71.2")
    assert edge.dialled_url == "https://127.0.71.2:443"
    assert edge.ca_file == inventory.ca_file
    app = target.for_url("https://app2:8443", inventory)
    assert app == target.machine(inventory, "app2")
    assert app.authority == "app2:8443"
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("::1", 443))])
    assert target.public(inventory).dialled_url == "https://[::1]:443"


def test_the_plan_repeats_with_its_seed() -> None:
    again = scenarios.scenario(SLO, "average", rate=20, duration=2)
    assert list(again.plan(1)) == list(again.plan(1)) != list(again.plan(2))
    assert json.dumps(list(again.plan(1)))
