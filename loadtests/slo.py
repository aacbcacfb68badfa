"""The declared numbers of slo.toml, typed.

An unknown key is an error: a misspelt objective would never be looked at.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

SLO_FILE = Path(__file__).with_name("slo.toml")


class SloError(Exception):
    """A file of objectives that cannot be used; the message names file, key and cure."""


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Generator(_Declared):
    """When a run is void, and how large the generator is."""

    max_cpu_share: float = Field(gt=0, le=1)
    max_lag_p99_ms: float = Field(gt=0)
    min_achieved_ratio: float = Field(gt=0, le=1)
    max_in_flight: int = Field(ge=1, le=5000)
    drain_seconds: float = Field(gt=0, le=300)
    timeout_seconds: float = Field(gt=0, le=300)
    accounts: int = Field(ge=2, le=100)


class Objective(_Declared):
    """What an endpoint must hold, and why."""

    p95_ms: float = Field(gt=0)
    p99_ms: float = Field(gt=0)
    max_error_rate: float = Field(ge=0, lt=1)
    rationale: str = Field(min_length=3)


class ScenarioNumbers(_Declared):
    """A named load."""

    rate: float = Field(gt=0, le=100_000)
    duration_s: float = Field(gt=0, le=7 * 86400)
    arrivals: Literal["constant", "poisson"]
    rationale: str = Field(min_length=3)


class Margins(_Declared):
    """Relative margins of a paired comparison and the error budgets of its two one-sided statements."""

    margin: float = Field(gt=0)
    tolerance: float = Field(ge=0)
    fail_alpha: float = Field(gt=0, lt=0.5)
    pass_alpha: float = Field(gt=0, lt=0.5)

    @model_validator(mode="after")
    def _in_order(self) -> Margins:
        if self.tolerance >= self.margin:
            raise ValueError("tolerance must be below margin")
        return self


class ErrorMargins(_Declared):
    """The absolute bound on the share of failed requests."""

    max_rate: float = Field(gt=0, lt=1)
    fail_alpha: float = Field(gt=0, lt=0.5)


class TailMargins(_Declared):
    """The objective for the pooled 95th percentile."""

    objective_ms: float = Field(gt=0)
    fail_alpha: float = Field(gt=0, lt=0.5)


class Judge(_Declared):
    """How candidate and baseline are compared."""

    seed: int
    resamples: int = Field(ge=500, le=100_000)
    min_pairs: int = Field(ge=4)
    looks: int = Field(ge=1, le=20)
    rationale: str = Field(min_length=3)
    cpu: Margins
    p50: Margins
    errors: ErrorMargins
    p95: TailMargins
    counters: dict[str, float]

    @model_validator(mode="after")
    def _has_default(self) -> Judge:
        if "default" not in self.counters:
            raise ValueError("counters needs a default margin")
        if any(margin < 0 for margin in self.counters.values()):
            raise ValueError("counters: a margin is negative")
        return self

    def counter_margin(self, name: str) -> float:
        """The relative margin of a counter."""
        return self.counters.get(name, self.counters["default"])


class Slo(_Declared):
    """All of slo.toml."""

    version: Literal[1] = Field(alias="schema")
    generator: Generator
    mix: dict[str, int] = Field(min_length=1)
    objectives: dict[str, Objective]
    scenarios: dict[str, ScenarioNumbers] = Field(min_length=1)
    judge: Judge

    @model_validator(mode="after")
    def _no_number_no_pass(self) -> Slo:
        if any(weight < 1 for weight in self.mix.values()):
            raise ValueError("mix: a weight must be 1 or more; leave out what is not asked for")
        missing = sorted(set(self.mix) - set(self.objectives))
        if missing:
            raise ValueError(
                f"no objective is declared for {', '.join(missing)}: add [objectives.{missing[0]}]"
            )
        idle = sorted(set(self.objectives) - set(self.mix))
        if idle:
            raise ValueError(f"[objectives.{idle[0]}] is for an endpoint that the mix never asks for")
        return self


def load_slo(path: Path = SLO_FILE) -> Slo:
    """Reads and checks the objectives. Raises SloError."""
    try:
        return Slo.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise SloError(f"{path}: cannot be read ({error.strerror}); name an existing file") from error
    except tomllib.TOMLDecodeError as error:
        raise SloError(f"{path}: is not TOML ({error}); correct it") from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'file'}: {fault['msg']}"
            for fault in error.errors()
        )
        raise SloError(f"{path}: {faults}") from error
