"""The load, for the stock `locust` command.

    locust -f loadtests/locustfile.py --host https://search.sandbox.internal --headless -u 10 -r 10 -t 20s

Users (-u) are how many requests may be under way at once; when requests come is decided by --rate and
--arrivals alone, so a slow server does not get less to do. LAUNCHGATE_INVENTORY names the inventory (default
inventories/sandbox.py): accounts are prepared through the API and the certificate is verified against its CA.
Response times count from each request's planned moment.
"""

from __future__ import annotations

import logging
import os
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import gevent
import locust.stats
from locust import events
from locust.env import Environment
from locust.runners import LocalRunner

from inventories.schema import InventoryError, load_inventory
from loadtests import accounts, pacing, scenarios, target
from loadtests.samples import Writer
from loadtests.slo import Slo, SloError, load_slo
from loadtests.users import Dispatcher, Visitor, client_pool

EXIT_COULD_NOT_LOOK = 5
FOR_EVER = 7 * 86400.0
log = logging.getLogger("launchgate")


def _tenth_of_a_millisecond(response_time: float) -> float:
    """Locust rounds to two digits (1,460 ms becomes 1,500): too coarse to compare with an objective."""
    return round(response_time, 1)


locust.stats.bucket_response_time = _tenth_of_a_millisecond  # type: ignore[assignment]


class Load:
    """What one run of this process needs; made when it starts."""

    dispatcher: Dispatcher | None = None


class SearchUser(Visitor):
    """Someone who searches, and whose client reads profile, keys and databases around it."""

    @staticmethod
    def dispatcher() -> Dispatcher:
        """The run's dispatcher."""
        assert Load.dispatcher is not None
        return Load.dispatcher


def _options(parser: ArgumentParser) -> None:
    group: Any = parser
    group.add_argument(
        "--scenario", default="smoke", help="a load declared in slo.toml", env_var="LAUNCHGATE_SCENARIO"
    )
    group.add_argument(
        "--rate",
        type=float,
        default=None,
        help="requests/s instead of the scenario's",
        env_var="LAUNCHGATE_RATE",
    )
    group.add_argument(
        "--arrivals", choices=pacing.ARRIVALS, default=None, help="how they fall, instead of the scenario's"
    )
    group.add_argument(
        "--duration", type=float, default=None, help="seconds of load (default: -t, else the scenario's)"
    )
    group.add_argument("--seed", type=int, default=1, help="same seed, same requests at the same moments")
    group.add_argument(
        "--samples", default="", help="file for the raw record of each request", include_in_web_ui=False
    )


def _prepare(environment: Environment, **_: object) -> None:
    try:
        _start(environment)
    except (InventoryError, SloError, target.TargetError, accounts.AccountsError) as error:
        log.error("%s", error)
        # Locust would log any other exception and go on with a test that could not be prepared.
        raise SystemExit(EXIT_COULD_NOT_LOOK) from error


def _start(environment: Environment) -> None:
    options: Any = environment.parsed_options
    if not isinstance(environment.runner, LocalRunner):
        raise SloError(
            "several processes would each send the whole rate; run one, without --processes, --master, --worker"
        )
    slo = load_slo()
    inventory = load_inventory(Path(os.environ.get("LAUNCHGATE_INVENTORY", "inventories/sandbox.py")))
    users = int(options.num_users or slo.generator.max_in_flight)
    aimed = target.for_url(environment.host or inventory.public_url, inventory)
    prepared = accounts.prepare(inventory, aimed, slo.generator.accounts)
    SearchUser.dialled_url = aimed.dialled_url
    SearchUser.client_pool = client_pool(aimed, users, slo.generator.timeout_seconds)
    scenario = scenarios.scenario(
        slo, options.scenario, options.rate, options.duration or options.run_time or None
    )
    if options.arrivals:
        scenario = scenarios.Scenario(scenario.name, scenario.profile, options.arrivals, scenario.mix)
    Load.dispatcher = Dispatcher(scenario.plan(options.seed), prepared, users, options.seed)
    # Answers under way when the run is stopped are awaited, not cut off.
    environment.stop_timeout = slo.generator.timeout_seconds
    conductor = gevent.spawn(_conduct, environment, Load.dispatcher, slo, options.samples)
    conductor.link_exception(lambda broken: _broke(environment, broken))


def _conduct(environment: Environment, dispatcher: Dispatcher, slo: Slo, samples: str) -> None:
    """From the moment that all users are there to the end of the run."""
    runner = environment.runner
    assert runner is not None
    until = time.monotonic() + 30
    while runner.user_count < dispatcher.users and time.monotonic() < until:
        gevent.sleep(0.02)
    writer = Writer(Path(samples)) if samples else None
    scribe = gevent.spawn(_write_down, dispatcher, writer)
    dispatcher.run()
    dispatcher.drain(slo.generator.drain_seconds)
    scribe.kill()
    audit = dispatcher.audit()
    if writer is not None:
        writer.add(dispatcher.take())
        writer.close(audit)
    limits = slo.generator
    for fault in audit.faults(limits.max_cpu_share, limits.max_lag_p99_ms, limits.min_achieved_ratio):
        log.warning("void: %s", fault)
    runner.quit()


def _write_down(dispatcher: Dispatcher, writer: Writer | None) -> None:
    while True:
        gevent.sleep(0.5)
        fresh = dispatcher.take()
        if writer is not None:
            writer.add(fresh)


def _broke(environment: Environment, conductor: Any) -> None:
    log.error("the generator broke: %r", conductor.exception)
    environment.process_exit_code = EXIT_COULD_NOT_LOOK
    if environment.runner is not None:
        environment.runner.quit()


def _stop(environment: Environment, **_: object) -> None:
    del environment
    if Load.dispatcher is not None:
        Load.dispatcher.stop()


# Locust types its events as anything.
_on: Any = events
_on.init_command_line_parser.add_listener(_options)
_on.test_start.add_listener(_prepare)
_on.test_stopping.add_listener(_stop)
