"""What a run shows while it works, on stderr: a bar with the time left on a terminal, a line an epoch elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def share_bar(console: Console, title: str) -> Iterator["ShareBar"]:
    """A bar for work whose progress is told as a share, 0..1."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield ShareBar(progress, title)


class ShareBar:
    """Call it with the share that is done."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress, self._task = progress, progress.add_task(title, total=1.0)

    def __call__(self, share: float) -> None:
        self._progress.update(self._task, completed=share)


class EpochBar(keras.callbacks.Callback):
    """A bar over all batches of all epochs, and a line for each epoch that ends. Use as a context manager."""

    def __init__(self, console: Console, epochs: int, done: int) -> None:
        super().__init__()
        self._console, self._epochs, self._done = console, epochs, done
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        steps = self.params["steps"]
        self._task = self._progress.add_task("training", total=self._epochs * steps, completed=self._done * steps)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._progress.update(self._task, description=f"epoch {epoch + 1}/{self._epochs}")

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._progress.advance(self._task)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        figures = ", ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
        self._console.print(f"epoch {epoch + 1}/{self._epochs}: {figures}", highlight=False)
