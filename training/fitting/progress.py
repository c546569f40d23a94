"""What a command shows while it works, on stderr: bars with the time left on a terminal, a line an epoch elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from training.fitting.run import Epoch


class Bar:
    """Call it with what is done and what there is to do."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress, self._task = progress, progress.add_task(title, total=None)

    def __call__(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)

    def epoch(self, epoch: Epoch) -> None:
        """Leave a line about a finished epoch above the bar."""
        figures = epoch.model_dump(exclude={"epoch", "seconds"})
        told = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
        self._progress.console.print(f"epoch {epoch.epoch}: {told} ({epoch.seconds:.0f} s)", highlight=False)


@contextmanager
def bar(console: Console, title: str) -> Iterator[Bar]:
    """A bar for as long as the context lasts."""
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
