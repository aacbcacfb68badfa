"""`launchgate`: the one command in front of the three tools and the conductor."""

import sys
from typing import Any

import typer

from infra import tools_commands
from infra.release import commands as release
from infra.sandbox import commands as sandbox
from infra.sandbox.errors import SandboxError

app = typer.Typer(
    name="launchgate",
    no_args_is_help=True,
    help="Takes a release onto real machines, proves it, measures it, and takes it back when the proof fails.",
    pretty_exceptions_enable=False,
)
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(release.app)
app.add_typer(tools_commands.app)


def main() -> None:
    """Run the command line; an error that the operator can mend is one line, never a traceback."""
    try:
        code: Any = app(standalone_mode=False)
    except SandboxError as error:
        _fail(str(error), error.exit_code)
    except typer.Exit as ending:
        sys.exit(ending.exit_code)
    except typer.Abort:
        _fail("interrupted: nothing is half-done; run the same command again to go on", 130)
    except Exception as error:
        if hasattr(error, "format_message"):  # click's own usage errors
            _fail(error.format_message(), 2)
        raise
    sys.exit(code or 0)


def _fail(message: str, code: int) -> None:
    typer.echo(f"launchgate: {message}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
