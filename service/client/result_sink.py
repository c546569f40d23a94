"""Where the answers of one run go: counted, and written on stdout or into a file."""

import sys

from service.client.result_file import ResultFile
from service.client.results import Format, new_writer
from service.client.targets import Target
from service.wire import PredictResponse


class ResultSink:
    """Takes answers as they come.

    Args:
        kind: the format.
        file: where they are written; None: stdout.
    """

    def __init__(self, kind: Format, file: ResultFile | None) -> None:
        self._file = file
        stream = file.stream if file else sys.stdout
        self._writer = new_writer(kind, stream, goes_on=file is not None and file.goes_on)
        self.added = self.failed = 0

    def has(self, target: Target) -> bool:
        """Whether an earlier run has answered this file."""
        return self._file is not None and self._file.has(target.name)

    def add(self, answer: PredictResponse) -> None:
        """One more."""
        self._writer.add(answer)
        self.added += 1
        self.failed += answer.predictions[0].error is not None

    def close(self, *, complete: bool) -> str | None:
        """Write what is not yet written. Gives words to tell where an incomplete file lies."""
        if self.added or complete:
            self._writer.finish()
        return self._file.close(complete=complete, empty=self.added == 0) if self._file else None
