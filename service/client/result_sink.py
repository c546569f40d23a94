"""Counts the answers of a run and writes them to stdout or to a file."""

import sys
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
    """Receives the answers of a run. ``added``: their number; ``failed``: how many of them are errors.

    Args:
        kind: the format.
        file: the result file; None: stdout.
    """

    def __init__(self, kind: Format, file: ResultFile | None) -> None:
        self._file = file
        stream = file.stream if file else _stdout(kind)
        self._writer = new_writer(kind, stream, append=file is not None and file.has_rows)
        self.added = self.failed = 0

    def has(self, target: Target) -> bool:
        """Whether an earlier run has a result for this file."""
        return self._file is not None and self._file.has(target.name)

    def add(self, answer: PredictResponse) -> None:
        """Write an answer and count it."""
        self._writer.add(answer)
        self.added += 1
        self.failed += answer.predictions[0].error is not None

    def close(self, *, complete: bool) -> str | None:
        """Write what is still buffered, and close the file.

        Returns:
            A message that tells the user where the partial results are; None if there are none.
        """
        if self.added or complete:
            self._writer.finish()
        return self._file.close(complete=complete, empty=self.added == 0) if self._file else None
