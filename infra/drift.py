"""What a deploy would change on the machines: pyinfra's own dry run, read for changes only.

pyinfra exits 0 with changes pending and lists conditional operations as possible changes; only
`hosts_with_change` says that a machine differs (measured with pyinfra 3.10).
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import typer

_REPOSITORY = Path(__file__).resolve().parents[1]
_SECONDS = 600


def report_drift(inventory: Path, *, as_json: bool) -> int:
    """Print the drift of a fleet and return the exit code: 0 none, 3 drift, 5 could not look."""
    command = [
        str(Path(sys.executable).with_name("pyinfra")),
        "--dry",
        "--json",
        str(inventory),
        "infra/deploy.py",
    ]
    done = subprocess.run(
        command, cwd=_REPOSITORY, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    plan = _plan(done.stdout)
    if done.returncode != 0 or plan is None:
        last = " | ".join(done.stderr.strip().splitlines()[-3:]) or "no plan came out of pyinfra"
        typer.echo(f"launchgate: could not look for drift: {last}", err=True)
        return 5
    differences = find_differences(plan)
    if as_json:
        typer.echo(json.dumps({"drift": differences}))
    else:
        for entry in differences:
            typer.echo(f"{entry['host']}: {entry['operation']}")
        typer.echo(f"{len(differences)} difference(s)" if differences else "no drift")
    return 3 if differences else 0


def find_differences(plan: list[dict[str, Any]]) -> list[dict[str, str]]:
    """List what differs, as `{host, operation}`, from pyinfra's JSON plan."""
    found = []
    for operation in plan:
        for host in operation.get("hosts_with_change", []):
            found.append({"host": host, "operation": operation.get("name", "unnamed operation")})
    return found


def _plan(text: str) -> list[dict[str, Any]] | None:
    """The operations in pyinfra's output, or None when it holds no plan."""
    try:
        plan = json.loads(text[text.index("{") if "{" in text else 0 :])
    except ValueError:
        return None
    operations = plan.get("plan") if isinstance(plan, dict) else plan
    return operations if isinstance(operations, list) else None
