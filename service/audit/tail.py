"""Reads the last lines of an audit log, and follows it."""

import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from service.audit.chain import chains_of, files_of
from service.wire import printable


class Tail:
    """Reads the last lines of all chains in a folder, and then the lines that are appended to any of them.

    Args:
        folder: of the audit log.
        count: number of lines to start with.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self._folder, self._count = folder, count
        self._offsets: dict[Path, int] = {}

    def last_lines(self) -> list[bytes]:
        """The last ``count`` lines of all chains together, ordered by time.

        Raises:
            OSError: a file cannot be read.
        """
        found = [line for chain in chains_of(self._folder) for line in self._last(chain)]
        return sorted(found, key=_time)[-self._count :] if self._count else []

    def new_lines(self) -> list[bytes]:
        """The lines appended since the last call. An incomplete line is returned once it is complete.

        Raises:
            OSError: a file cannot be read.
        """
        paths = [path for chain in chains_of(self._folder) for path in files_of(chain)]
        return [line for path in paths for line in self._unread(path)]

    def _last(self, chain: Path) -> list[bytes]:
        found: list[bytes] = []
        for path in reversed(files_of(chain)):
            if len(found) < self._count:
                found = [*deque(self._unread(path), self._count - len(found)), *found]
            else:
                self._offsets[path] = path.stat().st_size
        return found

    def _unread(self, path: Path) -> Iterator[bytes]:
        with path.open("rb") as file:
            file.seek(self._offsets.get(path, 0))
            for line in file:
                if line.endswith(b"\n"):
                    self._offsets[path] = self._offsets.get(path, 0) + len(line)
                    yield line


def format_line(line: bytes) -> str:
    """A line in columns, for a terminal: whatever a forged line holds is shown escaped."""
    try:
        event = json.loads(line)
        prefix = f"{event['time']:24}  {event['event']:8}"
        if event["event"] != "read":
            fields = {name: value for name, value in event.items() if name not in _COMMON_FIELDS}
            return printable(f"{prefix}  {' '.join(f'{name}={value}' for name, value in fields.items())}".rstrip())
        answer = event["problem"] or f"{event['label']} {event['probability']:.4f}"
        request = f"{event['caller'] or '-':16}  {event['route']:10}  {event['image_sha256'][:12]}"
        return printable(f"{prefix}  {request}  {answer}  {' '.join(event['warnings'])}".rstrip())
    except _NO_LINE:
        return "not a line of an audit log"


_COMMON_FIELDS = {"sequence", "event", "time", "previous", "hash"}
# What a forged line may raise; RecursionError for JSON that is nested very deeply.
_NO_LINE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


def _time(line: bytes) -> str:
    try:
        return str(json.loads(line)["time"])
    except _NO_LINE:
        return ""
