"""The last lines of an audit, and those that come."""

import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from service.audit.chain import chains_of, files_of


class Tail:
    """Reads the lines at the end of every chain of a folder, and from then on what is added to any.

    Args:
        folder: of the audit.
        count: how many lines to begin with.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self._folder, self._count = folder, count
        self._read: dict[Path, int] = {}

    def begin(self) -> list[bytes]:
        """The last lines, all chains together, by time.

        Raises:
            OSError: a file cannot be read.
        """
        found = [line for chain in chains_of(self._folder) for line in self._last(chain)]
        return sorted(found, key=_time)[-self._count :] if self._count else []

    def more(self) -> list[bytes]:
        """What has come since. A line that is not whole yet comes later.

        Raises:
            OSError: a file cannot be read.
        """
        paths = [path for chain in chains_of(self._folder) for path in files_of(chain)]
        return [line for path in paths for line in self._lines(path)]

    def _last(self, chain: Path) -> list[bytes]:
        found: list[bytes] = []
        for path in reversed(files_of(chain)):
            if len(found) < self._count:
                found = [*deque(self._lines(path), self._count - len(found)), *found]
            else:
                self._read[path] = path.stat().st_size
        return found

    def _lines(self, path: Path) -> Iterator[bytes]:
        with path.open("rb") as file:
            file.seek(self._read.get(path, 0))
            for line in file:
                if line.endswith(b"\n"):
                    self._read[path] = self._read.get(path, 0) + len(line)
                    yield line


def in_words(line: bytes) -> str:
    """A line for people."""
    try:
        told = json.loads(line)
        head = f"{told['time']:24}  {told['event']:8}"
        if told["event"] != "read":
            facts = {name: value for name, value in told.items() if name not in _FRAME}
            return f"{head}  {' '.join(f'{name}={value}' for name, value in facts.items())}".rstrip()
        answer = told["problem"] or f"{told['label']} {told['probability']:.4f}"
        who = f"{told['caller'] or '-':16}  {told['route']:10}  {told['image_sha256'][:12]}"
        return f"{head}  {who}  {answer}  {' '.join(told['warnings'])}".rstrip()
    except (ValueError, KeyError, TypeError):
        return "no line of an audit"


_FRAME = {"sequence", "event", "time", "previous", "hash"}


def _time(line: bytes) -> str:
    try:
        return str(json.loads(line)["time"])
    except (ValueError, KeyError, TypeError):
        return ""
