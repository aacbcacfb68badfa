"""How a check says which item it decides, and a sabotage which item must notice it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from checks.gate.errors import DeclarationError

F = TypeVar("F", bound=Callable[..., Any])
CHECK_TIMEOUT_S = 120.0
_CHECK_ATTRIBUTE = "__launchgate_check__"
_BREAK_ATTRIBUTE = "__launchgate_break__"
_MACHINE_FIXTURES = frozenset({"machine", "testinfra_host"})


@dataclass(frozen=True)
class CheckDeclaration:
    """Ids that a check decides and the machines it runs on (`None`: once, on no machine)."""

    ids: tuple[str, ...]
    on: tuple[str, ...] | None
    timeout_s: float


@dataclass(frozen=True)
class BreakDeclaration:
    """A sabotage (`compliant` False) or a differently built but compliant state (`compliant` True)."""

    item: str
    name: str
    on: str | None
    near_miss: bool
    also_red: tuple[str, ...]
    may_also_red: tuple[str, ...]
    reason: str
    expects: str
    own_ground: bool
    compliant: bool
    description: str
    apply: Callable[..., Iterator[None]]


def item(*ids: str, on: str | tuple[str, ...] | None, timeout_s: float = CHECK_TIMEOUT_S) -> Callable[[F], F]:
    """Declare a check function.

    `ids`: one or more catalogue ids that this function decides. `on`: a role ("lb"), several roles, "all"
    (every machine), or None (runs once, without a machine). `timeout_s`: seconds after which the check
    counts as "could not look". Raises DeclarationError when the function's arguments contradict `on`.
    """

    def declare(function: F) -> F:
        _refuse_bad_check(function, ids, on)
        roles = (on,) if isinstance(on, str) else on
        setattr(function, _CHECK_ATTRIBUTE, CheckDeclaration(ids, roles, timeout_s))
        return function

    return declare


def sabotage(
    item_id: str,
    *,
    on: str | None,
    near_miss: bool = False,
    also_red: tuple[str, ...] = (),
    may_also_red: tuple[str, ...] = (),
    reason: str = "",
    expects: str = "FAIL",
    own_ground: bool = False,
) -> Callable[[F], F]:
    """Declare a break that `item_id` must notice: a generator; break, show that it landed, yield, undo.

    `on`: machine name or role (its first machine), or None. `near_miss`: the break looks right at a glance.
    `also_red`: ids that must go red with it; `may_also_red`: ids that may. `reason`: regular expression that
    the item's reason must match. `expects`: outcome that the item must show, "FAIL" or "ERROR".
    `own_ground`: the function yields once more, first, with a state of its own making (through `bench`) in
    which the item must be green before it breaks it.
    Arguments of the function are given by name: `machine`, `inventory`, `bench`, `edge`.
    """
    if expects not in ("FAIL", "ERROR"):
        raise DeclarationError(f"sabotage of {item_id}: expects={expects!r}; use 'FAIL' or 'ERROR'")
    return _declare_break(
        item_id, on, near_miss, also_red, may_also_red, reason, expects, own_ground, compliant=False
    )


def compliant_variant(item_id: str, *, on: str | None, own_ground: bool = False) -> Callable[[F], F]:
    """Declare a differently built state that satisfies `item_id` too and must stay green; as `sabotage`."""
    return _declare_break(item_id, on, False, (), (), "", "PASS", own_ground, compliant=True)


def check_declaration(function: object) -> CheckDeclaration | None:
    """The declaration of a check function, None for any other object."""
    found = getattr(function, _CHECK_ATTRIBUTE, None)
    return found if isinstance(found, CheckDeclaration) else None


def break_declaration(function: object) -> BreakDeclaration | None:
    """The declaration of a sabotage or compliant variant, None for any other object."""
    found = getattr(function, _BREAK_ATTRIBUTE, None)
    return found if isinstance(found, BreakDeclaration) else None


def _declare_break(
    item_id: str,
    on: str | None,
    near_miss: bool,
    also_red: tuple[str, ...],
    may_also_red: tuple[str, ...],
    reason: str,
    expects: str,
    own_ground: bool,
    *,
    compliant: bool,
) -> Callable[[F], F]:
    def declare(function: F) -> F:
        name = getattr(function, "__name__", repr(function))
        if not inspect.isgeneratorfunction(function):
            raise DeclarationError(f"{name}: must be a generator: break, show that it landed, yield, undo")
        if on is None and "machine" in inspect.signature(function).parameters:
            raise DeclarationError(f"{name}: takes `machine` but says on=None; name a machine or a role")
        declared = BreakDeclaration(
            item_id, name, on, near_miss, also_red, may_also_red, reason, expects, own_ground, compliant,
            inspect.getdoc(function) or name.replace("_", " "), function,
        )  # fmt: skip
        setattr(function, _BREAK_ATTRIBUTE, declared)
        return function

    return declare


def _refuse_bad_check(function: Callable[..., Any], ids: tuple[str, ...], on: object) -> None:
    name = getattr(function, "__name__", repr(function))
    wanted = set(inspect.signature(function).parameters)
    if not ids:
        raise DeclarationError(f"{name}: @item needs at least one id")
    if on == ():
        raise DeclarationError(f"{name}: on=() names no machine; name a role, 'all' or None")
    if not name.startswith("check_"):
        raise DeclarationError(f"{name}: a check's name starts with check_")
    if "evidence" not in wanted:
        raise DeclarationError(f"{name}: takes no `evidence`; a check records what it looked at")
    if on is None and wanted & _MACHINE_FIXTURES:
        raise DeclarationError(f"{name}: takes a machine but says on=None; name a role or 'all'")
    if on is not None and not wanted & _MACHINE_FIXTURES:
        raise DeclarationError(f"{name}: says on={on!r} but takes neither `machine` nor `testinfra_host`")
