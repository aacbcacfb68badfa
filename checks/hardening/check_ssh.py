"""SSH lets in whoever holds a key, and nobody else: settings for every user, and what the daemon offers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from checks.gate import CommandResult, CouldNotLook, Evidence, MachineUnderCheck, item
from checks.gate.fleet import Fleet
from checks.probes import sshd
from checks.probes.at_once import look_at_all
from inventories.schema import Inventory

# As `sshd -T` prints them. Whoever may not log in at all is refused before any of these count.
REQUIRED = {
    "passwordauthentication": "no",
    "kbdinteractiveauthentication": "no",
    "permitemptypasswords": "no",
    "hostbasedauthentication": "no",
    "pubkeyauthentication": "yes",
    "permitrootlogin": "no",
    "gssapiauthentication": "no",
    "permituserenvironment": "no",
}
# A server built without GSSAPI does not speak of it.
ABSENT = {"gssapiauthentication": "no"}
ROOT = "root"
STRANGER = "203.0.113.77"
# Users who exist nowhere: what holds for them holds for everyone whom no Match block names.
NOBODY = "launchgate-nobody"


@item("HARD-SRV-2", on="all")
def check_settings_in_force_want_keys(
    machine: MachineUnderCheck, evidence: Evidence, inventory: Inventory, fleet: Fleet
) -> None:
    look_at_all(fleet, machine, lambda one: _settings(one, inventory))
    for (user, origin), settings in _settings(machine, inventory).items():
        wrong = {
            key: settings.get(key, "not shown")
            for key, wanted in REQUIRED.items()
            if settings.get(key, ABSENT.get(key, "")) != wanted
        }
        evidence.expect(looked_at=f"sshd -T for {user} from {origin}", observed=wrong, expected={})


@item("HARD-SRV-2", on=None)
def check_the_running_daemons_offer_keys_only(evidence: Evidence, inventory: Inventory) -> None:
    with ThreadPoolExecutor(max_workers=len(inventory.machines)) as pool:
        offers = pool.map(
            lambda one: sshd.methods_offered(one.address, one.ssh_port, ROOT), inventory.machines
        )
        for machine, offered in zip(inventory.machines, offers, strict=True):
            evidence.expect(
                looked_at=f"methods that {machine.name}:{machine.ssh_port} offers a root who proves nothing",
                observed=offered,
                expected=("publickey",),
            )


@item("HARD-SRV-2", on="all")
def check_nobody_but_the_owner_can_write_authorised_keys(
    machine: MachineUnderCheck, evidence: Evidence, fleet: Fleet
) -> None:
    look_at_all(fleet, machine, _authorised_keys)
    shown = _authorised_keys(machine)
    files = [line.split() for line in shown.lines()]
    if not any(int(count) for _, _, _, count in files):
        raise CouldNotLook(f"{machine.name}: no user has an authorised key, and yet we came in by one")
    for user, owner, mode, _ in files:
        evidence.that(
            owner in (user, ROOT) and int(mode, 8) & 0o022 == 0,
            looked_at=f"owner and mode of the authorised keys of {user}",
            observed=f"{owner} {mode}",
            expected=f"{user}, writable by nobody else",
        )


def _authorised_keys(machine: MachineUnderCheck) -> CommandResult:
    """User, owner, mode and number of keys for each file of authorised keys."""
    return machine.must(
        "getent passwd | while IFS=: read -r n _ u _ _ h s; do f=$h/.ssh/authorized_keys; "
        'case $s in */nologin|*/false) continue;; esac; [ -e "$f" ] || continue; '
        'echo "$n $(stat -L -c "%U %a" "$f") $(grep -c "^[^#]" "$f")"; done',
        sudo=True,
    )


def _settings(machine: MachineUnderCheck, inventory: Inventory) -> dict[tuple[str, str], dict[str, str]]:
    """Settings for everyone who could log in, from an operator's address and from a stranger's."""
    operator = inventory.control_addresses[0].partition("/")[0]
    people = _people(machine)
    logins = [(user, STRANGER) for user in (ROOT, *people, NOBODY)]
    return sshd.effective(machine, [*logins, *((user, operator) for user in people)])


def _people(machine: MachineUnderCheck) -> list[str]:
    """Users beside root who can have a shell."""
    shown = machine.must("getent passwd | awk -F: '$3 > 0 && $7 !~ /(nologin|false|sync)$/ {print $1}'")
    return shown.lines()
