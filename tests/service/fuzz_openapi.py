"""Throws generated requests at every operation of a running service, by the service's own OpenAPI document.

    FUZZ_TOKEN=… FUZZ_KEY=… FUZZ_OTHER_TOKEN=… python tests/service/fuzz_openapi.py https://api.example.com --cases 5000

Each request is valid or broken by schemathesis' rules and bears a good credential, a bad one or none. What must hold:
no failure of the service, no status that the document does not name, answers as documented, no operation that forgets
to ask who calls, and nothing of another tenant's. Bounded in cases and in seconds; the seed makes a run repeatable.
Secrets come from the environment only.
"""

import argparse
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup
from schemathesis.core.parameters import ParameterLocation

PREFIX = "/api/v1"
MOST_FAULTS = 20
KIND = 60  # so many letters of a fault tell its kind; the rest is the request
MOST_ROUNDS = 40
REQUEST_SECONDS = 30
# They end the caller's own login: tried with bad credentials only.
ENDS_THE_LOGIN = {
    f"POST {PREFIX}/auth/logout",
    f"POST {PREFIX}/auth/change-password",
    f"DELETE {PREFIX}/auth/account",
}
# What depends on somebody else's server may fail, in the envelope and with one of these codes.
ELSEWHERE = {
    (502, "CONNECTION_ERROR"),
    (504, "CONNECTION_ERROR"),
    (502, "SEARCH_FAILED"),
    (504, "SEARCH_TIMEOUT"),
}
# Refused by every operator's rules, so that no made-up name is looked up or dialled.
HOSTS = ("169.254.169.254", "192.0.2.1", "224.0.0.1")
# The service answers these; an edge in front of it may keep them to itself.
MAY_BE_CLOSED = ("/metrics", "/health/detailed")
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")


@dataclass(frozen=True)
class Target:
    """A running service, a tenant of it, and ids: theirs and another tenant's, by path parameter."""

    base: str
    token: str
    key: str
    own: dict[str, list[str]] = field(default_factory=dict)
    foreign: dict[str, list[str]] = field(default_factory=dict)
    ca: str | None = None

    @property
    def verify(self) -> str | bool:
        """What requests takes for the CA."""
        return self.ca or True


@dataclass
class Outcome:
    """What a run found."""

    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def fault(self, where: str, words: str) -> None:
        """Keep a fault, each kind once an operation."""
        kind = f"{where}: {words[:KIND]}"
        if len(self.faults) < MOST_FAULTS and not any(fault.startswith(kind) for fault in self.faults):
            self.faults.append(f"{where}: {words}")


@dataclass(frozen=True)
class Sent:
    """How a case was sent."""

    headers: dict[str, str]
    is_good: bool
    is_foreign: bool


def fuzz(target: Target, *, cases: int, seconds: float, seed: int) -> Outcome:
    """Send at least so many cases, unless the time is over first."""
    load_all_checks()
    document = _document(target)
    schema = schemathesis.openapi.from_dict(document)
    operations = [result.ok() for result in schema.get_all_operations()]
    outcome = Outcome()
    until = time.monotonic() + seconds
    _try_other_methods(target, document, outcome)
    for number in range(MOST_ROUNDS):
        for operation in operations:
            share = max(2, (cases - outcome.cases) // (2 * len(operations)) + 1)
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                _run(target, operation, mode, min(share, 200), seed + number, until, outcome)
        if outcome.cases >= cases or time.monotonic() > until:
            break
    return outcome


def _document(target: Target) -> dict[str, Any]:
    """The service's document, without what the edge keeps to itself."""

    def get(path: str) -> requests.Response:
        return requests.get(target.base + path, verify=target.verify, timeout=REQUEST_SECONDS)

    answer = get(f"{PREFIX}/openapi.json")
    answer.raise_for_status()
    document: dict[str, Any] = answer.json()
    for path in MAY_BE_CLOSED:
        if get(path).status_code == 404:
            document["paths"].pop(path, None)
    return document


def _run(
    target: Target,
    operation: Any,
    mode: GenerationMode,
    share: int,
    seed: int,
    until: float,
    outcome: Outcome,
) -> None:
    where = f"{operation.method.upper()} {operation.path}"
    choose = random.Random(f"{seed} {where} {mode}")
    try:
        strategy = operation.as_strategy(generation_mode=mode)

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=share,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def one(case: Any) -> None:
            if time.monotonic() < until:
                _send(target, where, case, choose, outcome)

        one()
    except (hypothesis.errors.Unsatisfiable, hypothesis.errors.InvalidArgument):
        return  # an operation without input has nothing that could be broken


def _send(target: Target, where: str, case: Any, choose: random.Random, outcome: Outcome) -> None:
    sent = _prepare(target, where, case, choose)
    try:
        answer = case.call(
            base_url=target.base, headers=sent.headers, timeout=REQUEST_SECONDS, verify=target.verify
        )
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader, UnicodeError):
        return  # never left this machine
    outcome.cases += 1
    outcome.statuses[answer.status_code] += 1
    outcome.operations[where] += 1
    _judge(where, case, answer, sent, outcome)


def _prepare(target: Target, where: str, case: Any, choose: random.Random) -> Sent:
    """Put in a credential and, now and then, an id that exists; keep made-up hosts from being looked up."""
    is_foreign = False
    for name in list(case.path_parameters or {}):
        lot = choose.random()
        known = target.foreign.get(name, []) if lot < 0.25 else target.own.get(name, []) if lot < 0.75 else []
        if known:
            case.path_parameters[name] = choose.choice(known)
            is_foreign = is_foreign or lot < 0.25
    if isinstance(case.body, dict) and isinstance(case.body.get("host"), str):
        case.body["host"] = choose.choice(HOSTS)
    schemes = {name for need in case.operation.definition.raw.get("security", []) for name in need}
    lot = choose.random()
    for header in ("Authorization", "X-API-Key"):
        if case.headers and header in case.headers:
            del case.headers[header]
    if not schemes:
        return Sent({}, True, is_foreign)
    if where in ENDS_THE_LOGIN or lot < 0.1:
        return Sent(choose.choice([{}, {"Authorization": "Bearer nonsense"}]), False, is_foreign)
    if "login" in schemes:
        return Sent({"Authorization": f"Bearer {target.token}"}, True, is_foreign)
    if lot < 0.55:
        return Sent({"X-API-Key": target.key}, True, is_foreign)
    return Sent({"Authorization": f"Bearer {target.key}"}, True, is_foreign)


def _judge(where: str, case: Any, answer: Any, sent: Sent, outcome: Outcome) -> None:
    status = answer.status_code
    if status >= 500 and (status, _code(answer)) not in ELSEWHERE:
        outcome.fault(where, f"{status} {_code(answer)}: {case.as_curl_command()[:400]}")
    # A body that cannot be read at all is refused before anybody asks who sent it.
    if not sent.is_good and status not in (401, 404, 413, 429) and _code(answer) != "INVALID_JSON":
        outcome.fault(where, f"{status} without a valid credential")
    if sent.is_foreign and status < 400:
        outcome.fault(where, f"{status} for another tenant's id")
    if where.split(" ", 1)[1].startswith(PREFIX) and not _is_enveloped(answer):
        outcome.fault(where, f"{status} is not in the envelope")
    names = ["status_code_conformance", "content_type_conformance", "response_schema_conformance"]
    # The credential's header is this script's own, whatever was generated for it.
    if sent.is_good and not (case.meta and case.meta.is_negative_at(ParameterLocation.HEADER)):
        names.append("negative_data_rejection")
    try:
        case.validate_response(answer, checks=CHECKS.get_by_names(names))
    except FailureGroup as group:
        for failure in group.exceptions:
            words = " ".join(f"{failure.title}: {failure.message}".split())
            outcome.fault(where, f"{words[:300]} | {case.as_curl_command()[:300]}")


def _try_other_methods(target: Target, document: dict[str, Any], outcome: Outcome) -> None:
    """What a path does not take is 405 in the envelope; HEAD answers wherever GET does."""
    for path, methods in document["paths"].items():
        taken = {method.upper() for method in methods} | _taken_beside(path, document)
        url = target.base + path.replace("{", "").replace("}", "")
        answers = {
            method: requests.request(method, url, verify=target.verify, timeout=REQUEST_SECONDS)
            for method in (*(method for method in METHODS if method not in taken), "GET", "HEAD")
        }
        outcome.cases += len(answers)
        for method, answer in answers.items():
            refused = (answer.status_code, _code(answer)) == (405, "METHOD_NOT_ALLOWED")
            if method in METHODS and method not in taken and not refused:
                outcome.fault(f"{method} {path}", f"{answer.status_code} and not 405")
        head, got = answers["HEAD"], answers["GET"]
        if head.status_code != got.status_code or head.content:
            outcome.fault(f"HEAD {path}", f"{head.status_code}, and GET {got.status_code}")


def _taken_beside(path: str, document: dict[str, Any]) -> set[str]:
    """Methods of a path with an id beside this one, to which a fixed name such as ``status`` is an id too."""
    folder = path.rpartition("/")[0]
    return {
        method.upper()
        for other, methods in document["paths"].items()
        if other != path and other.rpartition("/")[0] == folder and "{" in other.rpartition("/")[2]
        for method in methods
    }


def _code(answer: Any) -> str:
    try:
        return str(answer.json()["error"]["code"])
    except (ValueError, LookupError, TypeError):
        return ""


def _is_enveloped(answer: Any) -> bool:
    try:
        body = answer.json()
    except ValueError:
        return False
    return isinstance(body, dict) and "success" in body and "meta" in body


def ids_of(base: str, token: str, verify: str | bool, *, without_key: str = "") -> dict[str, list[str]]:
    """What a tenant has, by the path parameter that names it; the key in use is left out."""
    headers = {"Authorization": f"Bearer {token}"}

    def get(path: str) -> Any:
        answer = requests.get(base + PREFIX + path, headers=headers, verify=verify, timeout=REQUEST_SECONDS)
        answer.raise_for_status()
        return answer.json()["data"]

    keys = [
        key["id"]
        for key in get("/keys")["apiKeys"]
        if not (without_key and without_key.startswith(key["keyPrefix"]))
    ]
    return {"key_id": keys, "connection_id": [row["id"] for row in get("/databases")]}


def report(outcome: Outcome) -> Iterator[str]:
    """The run in a few lines."""
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(outcome.statuses.items()))
    yield f"{outcome.cases} cases over {len(outcome.operations)} operations; {statuses}"
    yield from outcome.faults
    yield "no fault" if not outcome.faults else f"{len(outcome.faults)} faults"


def main() -> int:
    """Run by hand. Returns 0 without faults, 1 with, 2 when too few cases fitted into the time."""
    parser = argparse.ArgumentParser(description="Fuzz a running service by its OpenAPI document.")
    parser.add_argument("base", help="for example https://api.example.com")
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ca", help="CA certificate of the service")
    options = parser.parse_args()
    base, verify = options.base.rstrip("/"), options.ca or True
    token, key, other = (os.environ[name] for name in ("FUZZ_TOKEN", "FUZZ_KEY", "FUZZ_OTHER_TOKEN"))
    target = Target(
        base,
        token,
        key,
        own=ids_of(base, token, verify, without_key=key),
        foreign=ids_of(base, other, verify),
        ca=options.ca,
    )
    outcome = fuzz(target, cases=options.cases, seconds=options.seconds, seed=options.seed)
    print("\n".join(report(outcome)))
    if outcome.faults:
        return 1
    return 0 if outcome.cases >= options.cases else 2


if __name__ == "__main__":
    sys.exit(main())
