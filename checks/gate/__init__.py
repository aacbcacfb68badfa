"""The release gate: how checks are declared, run, judged and reported.

A check, in `checks/<chapter>/check_*.py`:

    from checks.gate import Evidence, MachineUnderCheck, item

    @item("INF-LB-6", on="lb")
    def check_text_answers_are_compressed(machine: MachineUnderCheck, evidence: Evidence) -> None:
        seen = machine.run("nginx -T", sudo=True)
        evidence.that("gzip on;" in seen.stdout, looked_at="nginx -T", observed="...", expected="gzip on;")

Fixtures: `machine` (one run per machine of the role), `evidence`, `inventory`, `edge` (EdgeSession),
`release` (dict with version, commit, digest, or None), `testinfra_host`, `load_result` (dict of load.json).

A sabotage, in `checks/<chapter>/sabotage_*.py`:

    @sabotage("INF-LB-6", on="lb", near_miss=True, reason="gzip")
    def gzip_is_overridden_in_the_server_block(machine: MachineUnderCheck) -> Iterator[None]:
        machine.must("...", sudo=True)           # break; a failure here is DID_NOT_APPLY
        if "gzip off" not in machine.run("nginx -T", sudo=True).stdout:
            raise DidNotApply("gzip is still on")
        yield                                    # the engine runs the checks here
        machine.must("...", sudo=True)           # undo
"""

from checks.gate.declare import compliant_variant, item, sabotage
from checks.gate.edge import EdgeDown, EdgeSession
from checks.gate.errors import CouldNotLook, DeclarationError, DidNotApply, NotApplicable, NotReviewed
from checks.gate.evidence import Evidence, Observation
from checks.gate.machine import MachineUnderCheck
from checks.gate.transport import CommandResult

__all__ = [
    "CommandResult",
    "CouldNotLook",
    "DeclarationError",
    "DidNotApply",
    "EdgeDown",
    "EdgeSession",
    "Evidence",
    "MachineUnderCheck",
    "NotApplicable",
    "NotReviewed",
    "Observation",
    "compliant_variant",
    "item",
    "sabotage",
]
