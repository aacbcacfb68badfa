"""What a check or a sabotage raises to say something other than "green" or "red"."""

from __future__ import annotations


class NotApplicable(Exception):
    """The item cannot apply to this machine, by a predicate that the machine itself evaluated.

    `predicate` is what was asked ("systemd-detect-virt"), `observed` what the machine answered.
    """

    def __init__(self, predicate: str, observed: object) -> None:
        self.predicate = predicate
        self.observed = str(observed)
        super().__init__(f"{predicate}: {observed}")


class CouldNotLook(Exception):
    """Nothing can be said about the item: host down, no sudo, tool missing, time-out, data too old.

    Becomes outcome ERROR, which is never green.
    """


class NotReviewed(Exception):
    """A person has to look at this and no valid attestation says that one did."""


class DidNotApply(Exception):
    """Raised by a sabotage before its `yield`: the break was made but is not in force."""


class DeclarationError(TypeError):
    """A check, sabotage or variant is declared wrongly (unknown id, missing fixture, wrong shape)."""


class GateUsageError(Exception):
    """Wrong input from the operator; the message names the place and the cure. Exit code 2."""
