"""A file of results that is either whole or not there; what a stopped run leaves lies beside it, for one that goes on.

FILE.part, a line at a time -> FILE, once every file has had its turn
"""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from pydantic import ValidationError

from service.client.results import COLUMNS, Format, inert, write_row
from service.settings import SettingsError
from service.wire import PredictResponse

_FORMATS: dict[str, Format] = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".txt": "table"}
RESUMABLE = ("csv", "jsonl")


class ResultFile:
    """An open file of results.

    Args:
        path: where it will be.
        kind: its format.
        resume: whether to keep what an earlier run answered, from its part or else from the whole file.

    Raises:
        SettingsError: it cannot be written, or another run has begun it.
    """

    def __init__(self, path: Path, kind: Format, *, resume: bool) -> None:
        self.path, self.part, self._kind = path, path.with_name(f"{path.name}.part"), kind
        self._answered: set[str] = set()
        if path.exists() and not path.is_file():
            raise SettingsError(f"--output: {path} is no file")
        try:
            if resume:
                self._keep_answered()
            elif self.part.exists():
                raise SettingsError(f"{self.part} is what a run has left that was stopped: --resume, or remove it")
            self.stream: TextIO = self.part.open("a" if resume else "x", encoding="utf-8", newline="")
        except OSError as error:
            raise SettingsError(f"--output: {path} cannot be written: {error.strerror}") from None

    @property
    def goes_on(self) -> bool:
        """Whether there are lines already."""
        return bool(self._answered)

    def has(self, name: str) -> bool:
        """Whether this file has been answered already."""
        return (inert(name) if self._kind == "csv" else name) in self._answered

    def close(self, *, complete: bool, empty: bool) -> str | None:
        """Put it in its place if it is complete; else say, in words, where what there is lies."""
        self.stream.close()
        if complete:
            self.part.replace(self.path)
        elif empty and not self._answered:
            self.part.unlink()
        else:
            return f"what was answered is in {self.part}"
        return None

    def _keep_answered(self) -> None:
        source = self.part if self.part.exists() else self.path
        if not source.exists():
            return
        kept = source.with_name(f"{self.path.name}.kept")
        with source.open(encoding="utf-8", newline="") as old, kept.open("w", encoding="utf-8", newline="") as new:
            try:
                for name in (_keep_rows if self._kind == "csv" else _keep_lines)(old, new):
                    self._answered.add(name)
            except (ValueError, csv.Error):
                kept.unlink()
                raise SettingsError(f"--resume: {source} holds no results in this format") from None
        kept.replace(self.part)


def format_of(path: Path) -> Format:
    """The format that a file's name asks for.

    Raises:
        SettingsError: it asks for none that there is.
    """
    if found := _FORMATS.get(path.suffix.lower()):
        return found
    raise SettingsError(f"--output: call it {', '.join(_FORMATS)}, or say --format")


def _keep_rows(old: Iterable[str], new: TextIO) -> Iterator[str]:
    """Copy the rows that have an answer. A last one that was cut while it was written has too few cells."""
    rows = csv.reader(old)
    if next(rows, list(COLUMNS)) != list(COLUMNS):
        raise ValueError("another file's head")
    found = False
    for row in rows:
        cells = dict(zip(COLUMNS, row, strict=False))
        if len(row) == len(COLUMNS) and cells["label"] and not cells["problem"]:
            if not found:
                write_row(new, COLUMNS)
            found = True
            write_row(new, row)
            yield cells["file"]


def _keep_lines(old: Iterable[str], new: TextIO) -> Iterator[str]:
    """Copy the lines that have an answer. A last one that was cut while it was written is no JSON."""
    found = bad = False
    for line in old:
        try:
            entry = PredictResponse.model_validate_json(line).predictions[0]
        except (ValidationError, IndexError):
            bad = True
            continue
        found = True
        if entry.error is None:
            new.write(line.rstrip("\n") + "\n")
            yield str(entry.filename)
    if bad and not found:
        raise ValueError("nothing of this command's")
