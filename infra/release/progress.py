"""What a person sees while a release runs: one line a step with its duration, and a summary to read in ten seconds."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

MARKS = {"done": "[green]✓[/]", "failed": "[red]✗[/]", "interrupted": "[yellow]■[/]"}
STYLES = {"good": "green", "bad": "red", "back": "yellow"}


class Progress:
    """Prints to a console; a spinner shows the running step where the console is a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """One plain line of news."""
        self.console.print(f"  [dim]·[/] {escape(text)}")

    def warn(self, text: str) -> None:
        """One line that must not be overlooked."""
        self.console.print(f"  [bold yellow]! {escape(text)}[/]")

    @contextmanager
    def working(self, title: str) -> Iterator[None]:
        """Show that `title` is under way."""
        if self.console.is_terminal:
            with self.console.status(escape(title)):
                yield
        else:
            yield

    def line(self, title: str, outcome: str, seconds: float, detail: str = "") -> None:
        """The one line of a step that has ended."""
        self.console.print(
            f"  {MARKS[outcome]} {escape(title):<46} {seconds:6.1f} s  [dim]{escape(detail)}[/]"
        )

    def heading(self, text: str) -> None:
        """The name of what begins."""
        self.console.print(f"\n[bold]{escape(text)}[/]")

    def summary(self, title: str, kind: str, lines: Sequence[tuple[str, str]]) -> None:
        """A framed summary of named facts. `kind`: good, bad or back."""
        body = Table.grid(padding=(0, 2))
        body.add_column(no_wrap=True)
        body.add_column(overflow="fold")
        for name, value in lines:
            body.add_row(f"[bold]{escape(name)}[/]", escape(value))
        self.console.print(
            Panel(body, title=escape(title), border_style=STYLES[kind], expand=False), soft_wrap=False
        )
