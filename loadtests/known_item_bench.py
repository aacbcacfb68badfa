"""Known-item search on a real corpus: is the package found whose own words are asked for?

    python -m loadtests.known_item_bench [--sample 500] [--seed 1] [--modes natural] [--lists DIR] [--out FILE]

Starts MariaDB, Redis and the service on loopback, fills a database with the descriptions of this computer's package
lists by the very program that fills the customer's machine, and asks over HTTP only. Exit 0 when natural mode finds
95 % or more in the first ten, 1 when not, 5 when something is missing (and says what).

The rule of the sample: packages are drawn at random among those whose description no other package shares (a shared one
tells nobody which is meant) and holds at least three content words; the three words are drawn at random among its
content words. A content word has letters a to z only, four or more, is no stop word of English, and is in the
descriptions of fewer than 1 % of the packages.

For semantic mode the service needs an AI endpoint: ``--modes natural semantic --setting NAME=VALUE …`` hands any
setting of the service on, by its name in .env.example without the prefix, in lower case.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import requests

from loadtests.local_service import LocalService, Missing, local_service

TARGET = 0.95
FIRST = 10
COMMON = 0.01
LOADER = Path(__file__).parents[1] / "infra/components/customer/programs/load-package-corpus.py"
WORD = re.compile(r"\w+")
STOP_WORDS = frozenset(Path(__file__).with_name("stop_words.txt").read_text(encoding="utf-8").split())


@dataclass(frozen=True)
class Item:
    """A package and three words of its description."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What one mode found. ``first_ten`` and ``first`` are shares; the times are milliseconds over HTTP."""

    mode: str
    asked: int
    first_ten: float
    first: float
    median_ms: float
    p95_ms: float
    degraded: list[str]

    @property
    def margin(self) -> float:
        """Half of the share's interval at 95 %."""
        return 1.96 * math.sqrt(self.first_ten * (1 - self.first_ten) / self.asked)


def sample_items(corpus: Sequence[tuple[str, str]], size: int, seed: int) -> list[Item]:
    """The items to look for, by the rule above."""
    words = [frozenset(WORD.findall(description.lower())) for _, description in corpus]
    frequency = Counter(word for found in words for word in found)
    shared = Counter(description for _, description in corpus)
    rng = random.Random(seed)  # noqa: S311 (a sample, not a secret)
    items: list[Item] = []
    for number in rng.sample(range(len(corpus)), len(corpus)):
        name, description = corpus[number]
        content = sorted(
            word for word in words[number] if _is_content(word) and frequency[word] < COMMON * len(corpus)
        )
        if len(content) >= 3 and shared[description] == 1:
            items.append(Item(name, tuple(rng.sample(content, 3))))
        if len(items) == size:
            break
    return items


def measure(service: LocalService, items: Sequence[Item], mode: str) -> Outcome:
    """Ask for each item and see where it comes."""
    places: list[int] = []
    times: list[float] = []
    degraded: set[str] = set()
    with requests.Session() as http:
        for item in items:
            found, milliseconds = service.search(
                http, {"query": " ".join(item.words), "limit": FIRST, "searchMode": mode}
            )
            names = [result["data"]["name"] for result in found["results"]]
            places.append(names.index(item.name) if item.name in names else FIRST)
            times.append(milliseconds)
            degraded.update(found["degraded"])
    asked = len(items)
    return Outcome(
        mode,
        asked,
        sum(place < FIRST for place in places) / asked,
        places.count(0) / asked,
        round(statistics.median(times), 2),
        round(statistics.quantiles(times, n=20)[-1], 2),
        sorted(degraded),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    options = _parser().parse_args(arguments)
    try:
        _see_lists(options.lists)
        with _running(options) as (service, corpus):
            items = sample_items(corpus, options.sample, options.seed)
            print(f"{len(corpus)} packages, {len(items)} asked for, seed {options.seed}", flush=True)
            outcomes = [measure(service, items, mode) for mode in options.modes]
    except Missing as missing:
        print(f"known-item bench: {missing}", file=sys.stderr)
        return 5
    print(f"{'mode':<10} {'first 10':>9} {'±':>6} {'first':>7} {'median':>9} {'p95':>9}")
    for each in outcomes:
        print(
            f"{each.mode:<10} {each.first_ten:>9.1%} {each.margin:>6.1%} {each.first:>7.1%} {each.median_ms:>6.1f} ms"
            f" {each.p95_ms:>6.1f} ms  {' '.join(each.degraded)}"
        )
    if options.out is not None:
        options.out.write_text(
            json.dumps([asdict(each) for each in outcomes], indent=2) + "\n", encoding="utf-8"
        )
    return 0 if all(each.first_ten >= TARGET for each in outcomes if each.mode == "natural") else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Known-item search on package descriptions.")
    parser.add_argument("--sample", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--modes", nargs="+", default=["natural"], choices=["natural", "semantic"])
    parser.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE", help="of the service")
    parser.add_argument(
        "--lists", type=Path, default=Path("/var/lib/apt/lists"), help="folder of package lists"
    )
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    return parser


def _see_lists(folder: Path) -> None:
    for pattern in ("*_Packages*", "*_Translation-en*"):
        if not any(folder.glob(pattern)):
            raise Missing(
                f"{folder}: no {pattern}; get them with `apt-get update -o Acquire::Languages=en`, "
                "with -o Dir::State::lists=DIR into another folder (then --lists DIR)"
            )


@contextmanager
def _running(options: argparse.Namespace) -> Iterator[tuple[LocalService, list[tuple[str, str]]]]:
    settings = dict(each.split("=", 1) for each in options.setting)
    with (
        tempfile.TemporaryDirectory(prefix="known-item-") as folder,
        local_service(Path(folder), settings) as service,
    ):
        service.fill([sys.executable, str(LOADER), str(options.lists)])
        corpus = [
            (name, description)
            for name, description in service.rows("SELECT name, description FROM packages")
        ]
        yield service, corpus


def _is_content(word: str) -> bool:
    return word.isascii() and word.isalpha() and len(word) >= 4 and word not in STOP_WORDS


if __name__ == "__main__":
    sys.exit(main())
