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
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import gevent
import locust.stats
from locust import events
from locust.env import Environment
from locust.runners import LocalRunner

from inventories.schema import InventoryError, load_inventory
from loadtests import accounts, pacing, scenarios, target
from loadtests.operations import Account
from loadtests.samples import Writer
from loadtests.slo import SLO_FILE, Slo, SloError, load_slo
from loadtests.users import Dispatcher, Visitor, client_pool

EXIT_COULD_NOT_LOOK = 5
log = logging.getLogger("launchgate")


def _tenth_of_a_millisecond(response_time: float) -> float:
    """Locust rounds to two digits (1,460 ms becomes 1,500): too coarse to compare with an objective."""
    return round(response_time, 1)


locust.stats.bucket_response_time = _tenth_of_a_millisecond  # type: ignore[assignment]


class Load:
    """What the run of this process needs."""

    slo: Slo | None = None
    scenario: scenarios.Scenario | None = None
    target: target.Target | None = None
    accounts: ClassVar[list[Account]] = []
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
    group.add_argument(
        "--slo", default=str(SLO_FILE), help="file of declared objectives", include_in_web_ui=False
    )
    group.add_argument("--seed", type=int, default=1, help="same seed, same requests at the same moments")
    group.add_argument(
        "--samples", default="", help="file for the raw record of each request", include_in_web_ui=False
    )


def _early(environment: Environment, **_: object) -> None:
    """Before -t begins to count: preparing accounts is no part of the load."""
    options: Any = environment.parsed_options
    if options.headless:
        _or_leave(lambda: _prepare(environment))


def _begin(environment: Environment, **_: object) -> None:
    _or_leave(lambda: _start(environment))


def _or_leave(step: Callable[[], None]) -> None:
    try:
        step()
    except (InventoryError, SloError, target.TargetError, accounts.AccountsError) as error:
        log.error("%s", error)
        # Locust would log any other exception and go on with a test that could not be prepared.
        raise SystemExit(EXIT_COULD_NOT_LOOK) from error


def _prepare(environment: Environment) -> None:
    options: Any = environment.parsed_options
    if not isinstance(environment.runner, LocalRunner):
        raise SloError(
            "several processes would each send the whole rate; run one, without --processes, --master, --worker"
        )
    Load.slo = load_slo(Path(options.slo))
    Load.scenario = scenarios.scenario(
        Load.slo, options.scenario, options.rate, options.duration or options.run_time or None
    )
    if options.arrivals:
        Load.scenario = replace(Load.scenario, arrivals=options.arrivals)
    inventory = load_inventory(Path(os.environ.get("LAUNCHGATE_INVENTORY", "inventories/sandbox.py")))
    aimed = target.for_url(environment.host or inventory.public_url, inventory)
    Load.accounts = accounts.prepare(inventory, aimed, Load.slo.generator.accounts)
    Load.target = aimed


def _start(environment: Environment) -> None:
    options: Any = environment.parsed_options
    if Load.target is None or environment.host not in (None, Load.target.url):
        _prepare(environment)
    assert Load.slo is not None
    assert Load.scenario is not None
    assert Load.target is not None
    limits = Load.slo.generator
    users = int(options.num_users or limits.max_in_flight)
    SearchUser.dialled_url = Load.target.dialled_url
    SearchUser.client_pool = client_pool(Load.target, users, limits.timeout_seconds)
    Load.dispatcher = Dispatcher(Load.scenario.plan(options.seed), Load.accounts, users, options.seed)
    # Answers under way when the run is stopped are awaited, not cut off.
    environment.stop_timeout = limits.timeout_seconds
    conductor = gevent.spawn(_conduct, environment, Load.dispatcher, Load.slo, options.samples)
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


def _nothing_is_no_success(environment: Environment, **_: object) -> None:
    if Load.dispatcher is None or Load.dispatcher.audit().sent == 0:
        log.error("no request was sent: give the run more time or a higher rate")
        environment.process_exit_code = EXIT_COULD_NOT_LOOK


# Locust types its events as anything.
_on: Any = events
_on.init_command_line_parser.add_listener(_options)
_on.init.add_listener(_early)
_on.test_start.add_listener(_begin)
_on.test_stopping.add_listener(_stop)
_on.quitting.add_listener(_nothing_is_no_success)
