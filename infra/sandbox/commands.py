"""`launchgate sandbox …`"""

import json
import os
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from infra.sandbox import locations
from infra.sandbox.computer import find_tool
from infra.sandbox.fleet import Fleet

app = typer.Typer(no_args_is_help=True, help="A fleet of real machines on this computer (root, Debian).")
_out = Console(highlight=False)


def _fleet() -> Fleet:
    return Fleet(locations.fleet_name(), say=lambda line: _out.print(line, soft_wrap=True))


@app.command()
def up(
    suite: Annotated[
        str | None, typer.Option(help="bookworm (default) or trixie (default with mysql)")
    ] = None,
    database: Annotated[str | None, typer.Option(help="mariadb (default) or mysql")] = None,
) -> None:
    """Bring the fleet up; mends what a killed run left.

    Example: LAUNCHGATE_FLEET=try launchgate sandbox up --suite trixie
    """
    _fleet().up(suite, database)


@app.command()
def down(
    keep: Annotated[
        bool, typer.Option("--keep", help="keep the disks: the next `up` goes on from there")
    ] = False,
) -> None:
    """Stop the fleet and delete its disks; leaves the computer as it was."""
    _fleet().down(keep=keep)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Show every machine, and the stand-in for OpenAI: address, state, snapshots."""
    machines = _fleet().status()
    if as_json:
        typer.echo(json.dumps([vars(machine) for machine in machines]))
        return
    if not machines:
        _out.print(f"fleet {locations.fleet_name()}: not there (launchgate sandbox up)")
        return
    table = Table("machine", "address", "state", "snapshots", title=f"fleet {locations.fleet_name()}")
    for machine in machines:
        table.add_row(machine.name, machine.address, machine.state, ", ".join(machine.snapshots))
    _out.print(table)


@app.command(context_settings={"ignore_unknown_options": True})
def ssh(
    host: Annotated[str, typer.Argument(help="a machine, for example app1")],
    command: Annotated[
        list[str] | None, typer.Argument(help="what to run there; nothing opens a shell")
    ] = None,
) -> None:
    """Log in to a machine, or run one command there.

    Example: launchgate sandbox ssh db1 systemctl --failed
    """
    fleet = _fleet()
    fleet.machine(host)
    program = find_tool("ssh") or "ssh"
    os.execv(program, ["ssh", "-F", str(fleet.ssh_config()), host, *(command or [])])  # noqa: S606


@app.command()
def snapshot(
    name: Annotated[str, typer.Argument(help="lower-case letters, digits, dot, dash")],
    host: Annotated[list[str] | None, typer.Option(help="only this machine; may be repeated")] = None,
) -> None:
    """Remember the disks under a name; machines are shut down and booted again."""
    _fleet().snapshot(name, host or ())


@app.command()
def restore(
    name: Annotated[str, typer.Argument(help="a snapshot's name")],
    host: Annotated[list[str] | None, typer.Option(help="only this machine; may be repeated")] = None,
) -> None:
    """Go back to a snapshot; what the machines did since is lost."""
    _fleet().restore(name, host or ())
