"""Counts the answers of a run and writes them to stdout or to a file."""

import sys
from collections import Counter
from typing import TextIO, cast

from service.client.result_file import ResultFile
from service.client.results import Format, new_writer
from service.client.targets import Target
from service.wire import PredictResponse, printable


class _Terminal:
    """stdout, with what a terminal would interpret escaped. Redirected to a file, the output stays exact."""

    def write(self, text: str) -> int:
        return sys.stdout.write(printable(text, keep="\n"))

    def flush(self) -> None:
        sys.stdout.flush()


def _stdout(kind: Format) -> TextIO:
    """A table escapes its cells itself, and has colours."""
    return cast(TextIO, _Terminal()) if sys.stdout.isatty() and kind != "table" else sys.stdout


class ResultSink:
    """Receives the answers of a run.

    ``added``: their number; ``failed``: how many of them are errors; ``warned``: how many have a warning; ``labels``:
    how many have each label; ``kept``: the results of an earlier run in the file.

    Args:
        kind: the format.
        file: the result file; None: stdout.
    """

    def __init__(self, kind: Format, file: ResultFile | None) -> None:
        self._file = file
        stream = file.stream if file else _stdout(kind)
        self._writer = new_writer(kind, stream, append=file is not None and file.kept > 0)
        self.kept = file.kept if file else 0
        self.added = self.failed = self.warned = 0
        self.labels: Counter[str] = Counter()

    def has(self, target: Target) -> bool:
        """Whether an earlier run has a result for this file."""
        return self._file is not None and self._file.has(target.name)

    def add(self, answer: PredictResponse) -> None:
        """Write an answer and count it."""
        self._writer.add(answer)
        entry = answer.predictions[0]
        self.added += 1
        self.failed += entry.error is not None
        self.warned += bool(entry.warnings)
        if entry.label is not None:
            self.labels[entry.label] += 1

    def summary(self) -> str:
        """One line: how many files have which result."""
        parts = [f"{count} {label}" for label, count in sorted(self.labels.items())]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.warned} with warnings"] if self.warned else []
        parts += [f"{self.kept} kept from the earlier run"] if self.kept else []
        return f"{self.added} file{'s' * (self.added != 1)} analysed: {', '.join(parts) or 'nothing'}"

    def close(self, *, complete: bool) -> str | None:
        """Write what is still buffered, and close the file.

        Returns:
            A message that tells the user where the partial results are; None if there are none.
        """
        if self.added or complete:
            self._writer.finish()
        return self._file.close(complete=complete, empty=self.added == 0) if self._file else None
