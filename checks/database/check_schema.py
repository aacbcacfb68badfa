"""The service's schema: at the revision that the release needs, whole, and with every index that it declares."""

# ruff: noqa: S608 (what is put into statements are names of our own)

from __future__ import annotations

from typing import Any

from checks.gate import CouldNotLook, Evidence, MachineUnderCheck, item
from checks.gate.fleet import Fleet
from checks.probes import mysql, slots
from inventories.schema import Inventory

DATABASE = "search_api"
# Columns that say whether the optimizer may use an index.
VISIBLE = {"mariadb": "s.IGNORED = 'NO'", "mysql": "s.IS_VISIBLE = 'YES'"}


@item("PRE-DB-2", on=None)
def check_the_schema_is_at_the_revision_of_the_release(evidence: Evidence, fleet: Fleet) -> None:
    """One revision is recorded, it is the release's own or newer, and every running release can work with it."""
    primary = primary_of(fleet)
    recorded = mysql.query(primary, f"SELECT version_num FROM {DATABASE}.alembic_version")
    evidence.that(
        len(recorded) == 1, looked_at="alembic_version", observed=recorded, expected="one recorded revision"
    )
    revision = recorded[0][0]
    slots.look_ahead(fleet)
    for machine in app_machines(fleet):
        for one in slots.serving(machine):
            schema, where = one.part("schema"), f"{machine.name}, slot {one.slot}"
            head = max(step["revision"] for step in schema["migrations"])
            evidence.expect(looked_at=f"{where}: newest migration", observed=head, expected=schema["number"])
            evidence.that(
                int(revision) >= int(head),
                looked_at=f"revision of the database, for {where}",
                observed=revision,
                expected=f"{head} or newer",
            )
            evidence.expect(
                looked_at=f"{where}: what its release says about the schema",
                observed=schema["service_says"],
                expected="",
            )


@item("PRE-DB-2", on=None)
def check_the_schema_is_whole(evidence: Evidence, fleet: Fleet) -> None:
    """Every table and column that the running release knows is there: a recorded revision is only a claim."""
    rows = mysql.query(
        primary_of(fleet),
        f"SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = '{DATABASE}'",
    )
    present = {(table, column) for table, column in rows}
    wanted = {(name, column) for name, table in expected_tables(fleet).items() for column in table["columns"]}
    evidence.that(
        bool(wanted), looked_at="tables of the release", observed=f"{len(wanted)} columns", expected="columns"
    )
    evidence.expect(
        looked_at="columns that the release knows and the database lacks",
        observed=sorted(".".join(one) for one in wanted - present),
        expected=[],
    )


@item("PRE-DB-3", on=None)
def check_declared_indexes_are_there_and_used(evidence: Evidence, fleet: Fleet, inventory: Inventory) -> None:
    """Each declared index exists: whole columns, same order, unique where declared, visible to the optimizer."""
    present = indexes(primary_of(fleet), inventory.settings.database_flavour)
    missing, count = [], 0
    for table, described in expected_tables(fleet).items():
        for wanted in described["indexes"]:
            count += 1
            if not any(serves(one, wanted) for one in present.get(table, [])):
                kind = "unique " if wanted["unique"] else ""
                missing.append(f"{kind}{table}({', '.join(wanted['columns'])})")
    evidence.that(count > 0, looked_at="indexes that the release declares", observed=count, expected="some")
    evidence.expect(looked_at="declared indexes that no usable index serves", observed=missing, expected=[])


def indexes(machine: MachineUnderCheck, flavour: str) -> dict[str, list[dict[str, Any]]]:
    """Usable indexes by table; those on the beginnings of columns only, or hidden, are left out."""
    rows = mysql.query(
        machine,
        "SELECT s.table_name, s.index_name, s.non_unique, s.column_name, IFNULL(s.sub_part, ''), "
        f"{VISIBLE[flavour]} FROM information_schema.statistics s WHERE s.table_schema = '{DATABASE}' "
        "ORDER BY s.table_name, s.index_name, s.seq_in_index",
    )
    return parse_indexes(rows)


def parse_indexes(rows: list[list[str]]) -> dict[str, list[dict[str, Any]]]:
    """Rows of table, index, non_unique, column, prefix length, visible; in the order of each index's columns."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for table, name, non_unique, column, prefix, visible in rows:
        one = found.setdefault((table, name), {"columns": [], "unique": non_unique == "0", "usable": True})
        one["columns"].append(column)
        one["usable"] = one["usable"] and visible == "1" and prefix == ""
    by_table: dict[str, list[dict[str, Any]]] = {}
    for (table, _), one in found.items():
        if one.pop("usable"):
            by_table.setdefault(table, []).append(one)
    return by_table


def serves(present: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether an index does all that the wanted one would; a longer one serves unless uniqueness is wanted."""
    if wanted["unique"]:
        return bool(present["unique"] and present["columns"] == wanted["columns"])
    return bool(present["columns"][: len(wanted["columns"])] == wanted["columns"])


def expected_tables(fleet: Fleet) -> dict[str, dict[str, Any]]:
    """Tables as the release in the first app machine's active slot knows them."""
    slots.look_ahead(fleet)
    return dict(slots.serving(app_machines(fleet)[0])[0].part("schema")["tables"])


def app_machines(fleet: Fleet) -> list[MachineUnderCheck]:
    """All app machines. Raises CouldNotLook when there is none."""
    found = [fleet.named(name) for name in fleet.names(("app",))]
    if not found:
        raise CouldNotLook("the inventory has no machine of role app")
    return found


def primary_of(fleet: Fleet) -> MachineUnderCheck:
    """The database that is written to. Raises CouldNotLook when there is none."""
    names = fleet.names(("db",))
    if not names:
        raise CouldNotLook("the inventory has no machine of role db")
    return fleet.named(names[0])
