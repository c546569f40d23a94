"""Progress on stderr: on a terminal a bar with the time left, otherwise one line per epoch."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from training.fitting.run import Epoch


class Bar:
    """A progress bar; call it with the number done and the total."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress, self._task = progress, progress.add_task(title, total=None)

    def __call__(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)

    def epoch(self, epoch: Epoch) -> None:
        """Print the figures of a finished epoch above the bar."""
        figures = epoch.model_dump(exclude={"epoch", "seconds"})
        text = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
        self._progress.console.print(f"epoch {epoch.epoch}: {text} ({epoch.seconds:.0f} s)", highlight=False)


@contextmanager
def bar(console: Console, title: str) -> Iterator[Bar]:
    """Show a bar for the duration of the context."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield Bar(progress, title)
