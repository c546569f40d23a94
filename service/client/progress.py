"""Progress and messages on stderr: a progress bar if it is a terminal."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from service.wire import printable


def print_error(message: str) -> None:
    """Print one line to stderr. It may contain text that a server sent, or the name of a file."""
    print(f"xray-service: {printable(message)}", file=sys.stderr)


class ProgressDisplay:
    """A context that shows the progress.

    Args:
        total: number of files.
        quiet: shows no bar, because the results scroll on the same terminal.
    """

    def __init__(self, total: int, *, quiet: bool) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        console = Console(stderr=True)
        self._shown = console.is_terminal and not quiet and total > 1
        # stdout carries the results, and may be redirected.
        self._progress = Progress(
            *columns, console=console, transient=True, redirect_stdout=False, disable=not self._shown
        )
        self._task = self._progress.add_task("analysing", total=total)

    def advance(self) -> None:
        """Count one more file as done."""
        self._progress.advance(self._task)

    def print(self, message: str) -> None:
        """Print one line, above the bar if there is one."""
        if self._shown:
            self._progress.console.print(Text(f"xray-service: {printable(message)}"), soft_wrap=True)
        else:
            print_error(message)

    def __enter__(self) -> Self:
        """Show the bar."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the bar."""
        self._progress.stop()
