"""A result file that appears only when it is complete; an interrupted run leaves FILE.part, which can be resumed.

FILE.part, one line at a time -> FILE, once every image file has been processed
"""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal, TextIO

from pydantic import ValidationError

from contract.io.files import InUse, LockFile, put_in_place
from service.client.results import COLUMNS, Format, escape_formula, write_row
from service.settings import SettingsError
from service.wire import PredictResponse

_FORMATS: dict[str, Format] = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".txt": "table"}
RESUMABLE = ("csv", "jsonl")


class ResultFile:
    """An open result file.

    Args:
        path: the final path.
        kind: its format.
        resume: whether to keep the results of an earlier run, from FILE.part or else from FILE.
        force: whether to replace files of an earlier run instead.

    Raises:
        SettingsError: the file cannot be written, another run writes it, or an earlier run has left FILE or FILE.part.
    """

    def __init__(self, path: Path, kind: Format, *, resume: bool = False, force: bool = False) -> None:
        self.path, self.part, self._kind = path, path.with_name(f"{path.name}.part"), kind
        self._answered: set[str] = set()
        try:
            if path.exists() and not path.is_file():
                raise SettingsError(f"--output: {path} is not a regular file")
            self._lock = LockFile(path.with_name(f"{path.name}.lock"))
        except InUse as holder:
            raise SettingsError(f"--output: another run is writing {path}: {holder}") from None
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            self.stream: TextIO = self._open(resume=resume, force=force)
        except OSError as error:
            self._lock.close()
            raise self._unwritable(error) from None
        except SettingsError:
            self._lock.close()
            raise

    @property
    def kept(self) -> int:
        """How many results of an earlier run the file holds."""
        return len(self._answered)

    def has(self, name: str) -> bool:
        """Whether an earlier run has a result for the image file with this name."""
        return (escape_formula(name) if self._kind == "csv" else name) in self._answered

    def close(self, *, complete: bool, empty: bool) -> str | None:
        """Close the file, and rename it to its final path if it is complete.

        Args:
            complete: whether every image file was processed.
            empty: whether this run added no result.

        Returns:
            A message that tells the user where the partial results are; None if there are none.
        """
        try:
            self.stream.close()
            if complete:
                put_in_place(self.part, self.path)
            elif empty and not self._answered:
                self.part.unlink()
            else:
                return f"the results so far are in {self.part}; continue with --resume"
            return None
        finally:
            self._lock.close()

    def _open(self, *, resume: bool, force: bool) -> TextIO:
        if resume:
            self._copy_answered()
        elif not force:
            self._refuse_to_replace()
        mode: Literal["a", "w", "x"] = "a" if resume else "w" if force else "x"
        return self.part.open(mode, encoding="utf-8", newline="")

    def _unwritable(self, error: OSError) -> SettingsError:
        return SettingsError(f"--output: {self.path} cannot be written: {error.strerror}")

    def _refuse_to_replace(self) -> None:
        if self.part.exists():
            raise SettingsError(
                f"{self.part} holds results of an interrupted run: use --resume to keep or --force to replace them"
            )
        if self.path.exists():
            raise SettingsError(f"--output: {self.path} exists: use --force to replace it, or --resume to add to it")

    def _copy_answered(self) -> None:
        source = self.part if self.part.exists() else self.path
        if not source.exists():
            return
        kept = source.with_name(f"{self.path.name}.kept")
        copy = _copy_rows if self._kind == "csv" else _copy_lines
        with source.open("rb") as old, kept.open("w", encoding="utf-8", newline="") as new:
            try:
                self._answered.update(copy(_whole_lines(old), new))
            except (ValueError, csv.Error):
                kept.unlink()
                raise SettingsError(f"--resume: {source} holds no results in this format") from None
        kept.replace(self.part)


def format_of(path: Path) -> Format:
    """The format that the suffix of a file name implies.

    Raises:
        SettingsError: the suffix implies no format.
    """
    if found := _FORMATS.get(path.suffix.lower()):
        return found
    raise SettingsError(f"--output: the file name must end in {', '.join(_FORMATS)}; otherwise give --format")


def _whole_lines(file: BinaryIO) -> Iterator[str]:
    """The lines of a file but a last one without its end, which was cut off, perhaps within a character. If it is the
    only one, it is given, because it tells what file this is.

    Raises:
        ValueError: this is not UTF-8.
    """
    for number, line in enumerate(file):
        if number == 0 or line.endswith(b"\n"):
            yield line.decode()


def _copy_rows(old: Iterable[str], new: TextIO) -> Iterator[str]:
    """Copy the rows with a prediction, and yield their files. A last row that was cut off within a cell of several
    lines has too few cells.
    """
    rows = csv.reader(old)
    if next(rows, list(COLUMNS)) != list(COLUMNS):
        raise ValueError("not the columns of a result file")
    found = False
    for row in rows:
        cells = dict(zip(COLUMNS, row, strict=False))
        if len(row) == len(COLUMNS) and cells["label"] and not cells["problem"]:
            if not found:
                write_row(new, COLUMNS)
            found = True
            write_row(new, row)
            yield cells["file"]


def _copy_lines(old: Iterable[str], new: TextIO) -> Iterator[str]:
    """Copy the lines with a prediction, and yield their files."""
    found = invalid = False
    for line in old:
        try:
            entry = PredictResponse.model_validate_json(line).predictions[0]
        except (ValidationError, IndexError):
            invalid = True
            continue
        found = True
        if entry.error is None:
            new.write(line.rstrip("\n") + "\n")
            yield str(entry.filename)
    if invalid and not found:
        raise ValueError("no line is a result")
