"""The progress of a run on stderr: parts, images per second, remaining time, errors."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from service.bulk.part import PartCounts
from service.bulk.plan import Plan

# Seconds between two lines if stderr is not a terminal.
_LINE_S = 30.0


class RunProgress:
    """Counts the finished parts of a run and shows the progress: a bar on a terminal, else a line every 30 seconds.

    Args:
        plan: of the run.
        earlier: the parts that an earlier run has finished.
        clock: monotonic, in seconds.
    """

    def __init__(self, plan: Plan, earlier: Iterable[PartCounts], clock: Callable[[], float] = time.monotonic) -> None:
        self._plan, self._clock = plan, clock
        self.parts = self.rows = 0
        self.errors: Counter[str] = Counter()
        for counts in earlier:
            self._count(counts)
        self._earlier_rows, self._started = self.rows, clock()
        self._printed = self._started
        console = Console(stderr=True)
        self._is_bar = console.is_terminal
        columns = BarColumn(), TextColumn("{task.description}")
        self._bar = Progress(*columns, console=console, transient=True, redirect_stdout=False, disable=not self._is_bar)
        self._task = self._bar.add_task("starting", total=plan.items, completed=self.rows)

    def done(self, counts: PartCounts) -> None:
        """Count a part."""
        self._count(counts)
        self._bar.update(self._task, completed=self.rows, description=self.line())
        if not self._is_bar and self._clock() - self._printed >= _LINE_S:
            self._printed = self._clock()
            sys.stderr.write(f"xray-service: {self.line()}\n")

    def line(self) -> str:
        """The progress as one line."""
        rate = (self.rows - self._earlier_rows) / max(1e-9, self._clock() - self._started)
        left = (
            f", {_duration((self._plan.items - self.rows) / rate)} left"
            if rate and self.parts < self._plan.parts
            else ""
        )
        return (
            f"part {self.parts} of {self._plan.parts}, {self.rows} of {self._plan.items} images, "
            f"{rate:.1f} images/s{left}, {sum(self.errors.values())} errors"
        )

    def _count(self, counts: PartCounts) -> None:
        self.parts += 1
        self.rows += counts.rows
        self.errors.update(counts.errors)

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the bar."""
        self._bar.stop()


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min" if minutes else "1 min"
