"""Tables that name images and their labels: CSV files, as the spreadsheets of several countries write them.

The separator is a comma, semicolon or tab; UTF-8, with or without a byte order mark; any line ends.
"""

import csv
import os
import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Literal

from contract.bundle import LABELS
from contract.formats import SUFFIXES

Label = Literal[0, 1]
# The number of its last line in the file, and its values by column.
Row = tuple[int, dict[str, str]]
# 1.0: so pandas writes a column of whole numbers in which one is missing.
_LABELS: dict[str, Label] = {LABELS[0].lower(): 0, "0": 0, "0.0": 0, LABELS[1].lower(): 1, "1": 1, "1.0": 1}
_SEPARATORS = (",", ";", "\t")
# How the files of Excel begin, since 2007 (a ZIP archive) and before.
_WORKBOOK = (b"PK\3\4", b"\xd0\xcf\x11\xe0")
_SAVE_AS = "in Excel: Save As, CSV UTF-8"


class TableError(Exception):
    """A table that cannot be used; the message is one line with the fault, and its line in the file."""


def read_table(path: Path, known: Collection[str], required: Sequence[str]) -> Iterator[Row]:
    """The rows of a table.

    Spaces around a value do not count, letters are composed (NFC), and a value that a short row lacks is empty. Rows
    without any value are left out.

    Args:
        path: the CSV file; its first row has the names of the columns.
        known: the columns that are used; each is found in capitals or not, but only once.
        required: those that must be there.

    Raises:
        TableError: it cannot be read, lacks a column, or has a wrong row.
    """
    rows = _rows(_text_of(path))
    header = next(rows, (0, []))[1]
    spelled = {name.casefold(): name for name in known}
    columns = [name if name in known else spelled.get(name.casefold(), name) for name in header]
    if missing := [name for name in required if name not in columns]:
        shown = "".join(letter if letter.isprintable() else " " for letter in ", ".join(header))
        raise TableError(f"it has no column {missing[0]!r}; the columns are: {shown}")
    if twice := [name for name in known if columns.count(name) > 1]:
        raise TableError(f"it has several columns {min(twice)!r}")
    for line, values in rows:
        if any(values[len(columns) :]):
            raise TableError(
                f"line {line}: it has more values than there are columns; one that contains the separator needs "
                "quotation marks"
            )
        filled = values + [""] * (len(columns) - len(values))
        yield line, dict(zip(columns, filled, strict=False))


def label_of(text: str) -> Label | None:
    """1 for PNEUMONIA or 1, 0 for NORMAL or 0, in capitals or not; None for any other text."""
    return _LABELS.get(text.lower())


def _text_of(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TableError(f"it cannot be read: {error.strerror}") from None
    if data.startswith(_WORKBOOK):
        raise TableError(f"it is an Excel workbook, not a CSV file ({_SAVE_AS})")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TableError(f"line {line}: it is not a CSV file in UTF-8 ({_SAVE_AS})") from None


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that have a value.

    A quotation mark that is not closed would make one value of all lines that follow, so the reader is strict.
    """
    reader = csv.reader(StringIO(text, newline=""), delimiter=_separator(text), strict=True)
    while True:
        begins = reader.line_num + 1
        try:
            values = [unicodedata.normalize("NFC", value.strip()) for value in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise TableError(
                f"line {begins}: not as in a CSV file ({error}); a quotation mark within a value is written twice, and "
                "the value in quotation marks"
            ) from None
        if any(values):
            yield reader.line_num, values


def _separator(text: str) -> str:
    """What separates the names of the columns."""
    first = next((line for line in text.splitlines() if line.strip(" ,;\t")), "")
    return max(_SEPARATORS, key=first.count)


class FilesBelow:
    """Finds the files below a folder that a table names.

    A table may have been written on another system than the files: with other capitals, backslashes, composed letters
    (NFC) for decomposed ones (NFD), or without the suffix.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, name: str) -> str:
        """The path below the folder of the file that is named; the name itself, where none or several can be meant."""
        plain = Path(name).as_posix()
        if os.path.lexists(self._folder / plain):
            return plain
        key = _key(plain)
        spelled, bare = self._files
        found = spelled.get(key) or bare.get(key) or (spelled.get(_bare(key)) if _bare(key) != key else None)
        return found[0] if found and len(found) == 1 else plain

    @cached_property
    def _files(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """The paths of all files by their key, and by their key without its suffix."""
        spelled: defaultdict[str, list[str]] = defaultdict(list)
        bare: defaultdict[str, list[str]] = defaultdict(list)
        for parent, _, names in os.walk(self._folder):
            below = Path(parent).relative_to(self._folder)
            for name in names:
                path = (below / name).as_posix()
                spelled[_key(path)].append(path)
                bare[_bare(_key(path))].append(path)
        return dict(spelled), dict(bare)


def _key(path: str) -> str:
    """What all spellings of a path have in common."""
    return posixpath.normpath(unicodedata.normalize("NFC", path.replace("\\", "/")).casefold())


def _bare(key: str) -> str:
    return next((key.removesuffix(suffix) for suffix in SUFFIXES if key.endswith(suffix)), key)
