"""What a person sees on stderr while files are read: a bar on a terminal, and lines that are worth one."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text


def complain(message: str) -> None:
    """One line on stderr."""
    print(f"xray-service: {message}", file=sys.stderr)


class ProgressDisplay:
    """Shows how far it has come, while it is entered.

    Args:
        total: files.
        quiet: no bar, because the answers scroll over the same terminal.
    """

    def __init__(self, total: int, *, quiet: bool) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        console = Console(stderr=True)
        self._shown = console.is_terminal and not quiet and total > 1
        # stdout is for the answers, and may go elsewhere.
        self._progress = Progress(
            *columns, console=console, transient=True, redirect_stdout=False, disable=not self._shown
        )
        self._task = self._progress.add_task("reading", total=total)

    def advance(self) -> None:
        """One more file has its answer."""
        self._progress.advance(self._task)

    def say(self, message: str) -> None:
        """One line, above the bar."""
        if self._shown:
            self._progress.console.print(Text(f"xray-service: {message}"), soft_wrap=True)
        else:
            complain(message)

    def __enter__(self) -> Self:
        """Show the bar."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take it away."""
        self._progress.stop()
