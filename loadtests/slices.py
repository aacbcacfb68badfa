"""Recorded slices of load, as `pairs` writes and `judge` reads them: one JSON object a line, paired by `pair`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class SliceError(Exception):
    """A file of slices that cannot be judged; the message reads "file:line: what is wrong; cure"."""


class Slice(BaseModel):
    """A stretch of load on one side. All but `pair` and `latencies_ms` may be missing: then it was not measured.

    `cpu_ms_per_request` and `counters` are per request; `requests` counts all that were sent, failed ones too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    pair: int | str
    latencies_ms: list[_Amount]
    requests: int | None = Field(default=None, ge=0)
    errors: int | None = Field(default=None, ge=0)
    cpu_ms_per_request: _Amount | None = None
    counters: dict[str, _Amount] | None = None

    @model_validator(mode="after")
    def _adds_up(self) -> Slice:
        if self.requests is not None and self.requests < len(self.latencies_ms):
            raise ValueError(f"requests is {self.requests}, yet there are {len(self.latencies_ms)} latencies")
        if self.errors is not None and self.errors > self.sent:
            raise ValueError(f"errors is {self.errors}, yet only {self.sent} requests were sent")
        return self

    @property
    def sent(self) -> int:
        """Requests of the slice: as declared, else as many as there are latencies."""
        return len(self.latencies_ms) if self.requests is None else self.requests

    def line(self) -> str:
        """The slice as a line of the file, without what was not measured."""
        return self.model_dump_json(exclude_none=True) + "\n"


def read_slices(path: Path) -> list[Slice]:
    """All slices of a file. Raises SliceError at the first line that is not one, or repeats a pair."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SliceError(
            f"{path}: cannot be read ({error}); give a file of slices, one JSON object a line"
        ) from error
    slices: list[Slice] = []
    seen: dict[int | str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        found = _slice(line, f"{path}:{number}")
        if found.pair in seen:
            raise SliceError(
                f"{path}:{number}: pair {found.pair!r} was already on line {seen[found.pair]}; give each pair one line"
            )
        seen[found.pair] = number
        slices.append(found)
    return slices


def _slice(line: str, place: str) -> Slice:
    try:
        value: Any = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise SliceError(f"{place}: not JSON ({error}); write one JSON object a line") from error
    if not isinstance(value, dict):
        raise SliceError(f'{place}: not an object; write {{"pair": 1, "latencies_ms": [...]}}')
    try:
        return Slice.model_validate(value)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"] if part not in ("int", "str"))
        known = ", ".join(Slice.model_fields)
        cure = f"known keys are {known}" if fault["type"] == "extra_forbidden" else "correct it"
        message = (
            "unknown key"
            if fault["type"] == "extra_forbidden"
            else fault["msg"].removeprefix("Value error, ")
        )
        raise SliceError(f"{place}: {f'{key}: ' if key else ''}{message}; {cure}") from error
