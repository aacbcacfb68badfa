"""`launchgate check|load|judge|prove|drift`: the three tools behind one command.

Each runs as the process that CI or an engineer would start by hand, so nothing here can differ from it.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from infra.drift import report_drift
from inventories.schema import InventoryError, load_inventory

app = typer.Typer(pretty_exceptions_enable=False)
_REPOSITORY = Path(__file__).resolve().parents[1]
_FORWARD = {"allow_extra_args": True, "ignore_unknown_options": True}

Inventory = Annotated[Path, typer.Argument(metavar="INVENTORY", help="pyinfra inventory file of the fleet")]
Items = Annotated[list[str] | None, typer.Option("--item", metavar="ID", help="only this item; repeatable")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="where the report goes")]


@app.command()
def check(
    inventory: Inventory,
    phase: Annotated[str, typer.Option(help="pre, post, rollback or all")] = "all",
    item: Items = None,
    out: Out = None,
    allow_unimplemented: Annotated[
        bool, typer.Option("--allow-unimplemented", help="open the gate although items have no check yet")
    ] = False,
    release_manifest: Annotated[
        Path | None, typer.Option(metavar="FILE", help="manifest.json of the release under check")
    ] = None,
) -> None:
    """Prove the checklist on a fleet; 0 gate open, 1 closed, 5 could not look.

    Example: launchgate check inventories/staging.py --phase pre --out out/pre
    """
    words = [sys.executable, "-m", "pytest", str(_REPOSITORY / "checks"), "--inventory", str(inventory)]
    words += ["--phase", phase, "--out", str(out or _new_directory("check"))]
    words += [word for one in item or () for word in ("--item", one)]
    words += ["--allow-unimplemented"] if allow_unimplemented else []
    words += ["--release-manifest", str(release_manifest)] if release_manifest else []
    _become(words)


@app.command()
def load(
    inventory: Inventory,
    scenario: Annotated[str, typer.Option(help="a load declared in loadtests/slo.toml")] = "average",
    rate: Annotated[float | None, typer.Option(help="requests/s instead of the scenario's")] = None,
    duration: Annotated[float | None, typer.Option(help="seconds instead of the scenario's")] = None,
    out: Out = None,
) -> None:
    """Put a load on a fleet; 0 objectives met, 1 missed, 5 the generator spoilt the run.

    Example: launchgate load inventories/staging.py --scenario peak --duration 60
    """
    words = [sys.executable, "-m", "loadtests.run", str(inventory), "--scenario", scenario]
    words += ["--rate", str(rate)] if rate is not None else []
    words += ["--duration", str(duration)] if duration is not None else []
    words += ["--out", str(out or _new_directory("load"))]
    _become(words)


@app.command()
def judge(
    baseline: Annotated[
        Path, typer.Argument(metavar="A.jsonl", help="slices of the version that serves now")
    ],
    candidate: Annotated[
        Path, typer.Argument(metavar="B.jsonl", help="slices of the version to be released")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="write the verdict as JSON")
    ] = None,
) -> None:
    """Compare recorded slices of two versions; 0 PASS, 1 FAIL, 3 INCONCLUSIVE."""
    words = [sys.executable, "-m", "loadtests.judge", str(baseline), str(candidate)]
    _become([*words, "--out", str(out)] if out else words)


@app.command(context_settings=_FORWARD)
def prove(context: typer.Context, inventory: Inventory, item: Items = None, out: Out = None) -> None:
    """Break what each item protects, on the real machines, and see that the gate notices; proof.json.

    Further options go to the engine: launchgate prove INVENTORY --help-engine shows them.
    """
    words = [
        sys.executable,
        "-m",
        "checks.gate.prove",
        str(inventory),
        "--out",
        str(out or _new_directory("prove")),
    ]
    words += [word for one in item or () for word in ("--item", one)]
    _become([*words, *("--help" if word == "--help-engine" else word for word in context.args)])


@app.command()
def drift(
    inventory: Inventory,
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Show what a deploy would change; 0 nothing, 3 drift, with what and where. Changes nothing."""
    try:
        load_inventory(inventory)
    except InventoryError as error:
        typer.echo(f"launchgate: {error}", err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(report_drift(inventory, as_json=as_json))


def _new_directory(kind: str) -> Path:
    return Path("out") / f"{time.strftime('%Y%m%d-%H%M%S')}-{kind}"


def _become(words: list[str]) -> None:
    """Run the tool in the repository and end with its exit code; Ctrl-C reaches it directly."""
    absolute = [os.path.abspath(word) if Path(word).exists() else word for word in words]  # noqa: PTH100
    process = subprocess.Popen(absolute)
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt:
            continue  # the tool got it too, and tidies up
    raise typer.Exit(code if code >= 0 else 128 - code)
