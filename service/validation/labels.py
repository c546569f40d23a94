"""Reads ``labels.csv``: a file, its label, and optionally its patient and the columns to group by."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.formats.age import OLDEST, years_of
from service.settings import SettingsError

FILE, LABEL, PATIENT = "file", "label", "patient"
_LABELS = {"pneumonia": True, "1": True, "normal": False, "0": False}
# Lower limits of the age groups, in years, for the column ``age``.
_AGES = (0, 2, 6, 18, 40, 65, 80)
_MAX_GROUPS = 20
# The name of a group whose column is empty.
UNKNOWN = "not stated"


@dataclass(frozen=True, slots=True)
class Labelled:
    """One image: its path below the folder, whether it shows PNEUMONIA, its patient, and its group in each column."""

    file: str
    pneumonia: bool
    patient: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Labels:
    """The rows of ``labels.csv``. ``has_patients``: whether it has the column ``patient``."""

    rows: tuple[Labelled, ...]
    columns: tuple[str, ...]
    has_patients: bool


def read_labels(path: Path, columns: Sequence[str]) -> Labels:
    """Read and check all of ``labels.csv``; a wrong row is an error, because a lost one would bias the figures.

    Args:
        path: CSV in UTF-8 with a header. ``file`` and ``label`` are required: PNEUMONIA or 1, NORMAL or 0. Images with
            the same ``patient`` are of one patient; without that column, each image counts as a patient of its own.
        columns: names of the columns to group by. ``age`` (years, also as 045Y) is grouped in bands.

    Raises:
        SettingsError: names the line and the fault.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = reader.fieldnames or []
            if missing := [name for name in (FILE, LABEL, *columns) if name not in header]:
                raise _fault(path, f"it has no column {missing[0]!r}; the columns are: {', '.join(header)}")
            if twice := [name for name in (FILE, LABEL, PATIENT, *columns) if header.count(name) > 1]:
                raise _fault(path, f"it has several columns {twice[0]!r}")
            rows = tuple(_rows(path, reader, columns))
    except OSError as error:
        raise _fault(path, f"it cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise _fault(path, "it is not a CSV file in UTF-8") from None
    if not rows:
        raise _fault(path, "it has no rows")
    _check_groups(path, rows, columns)
    return Labels(rows, tuple(columns), PATIENT in header)


def _rows(path: Path, reader: "csv.DictReader[str]", columns: Sequence[str]) -> Iterator[Labelled]:
    seen: set[str] = set()
    for row in reader:
        try:
            labelled = _row(row, columns)
        except ValueError as error:
            raise _fault(path, f"line {reader.line_num}: {error}") from None
        if labelled.file in seen:
            raise _fault(path, f"line {reader.line_num}: {labelled.file!r} occurs twice")
        seen.add(labelled.file)
        yield labelled


def _row(row: Mapping[str | None, str | None], columns: Sequence[str]) -> Labelled:
    """Parse a row.

    Raises:
        ValueError: the fault.
    """
    if None in row:  # where DictReader puts them
        raise ValueError("it has more values than there are columns; one that contains a comma needs quotation marks")
    file = (row[FILE] or "").strip()
    if not file or Path(file).is_absolute() or ".." in Path(file).parts:
        raise ValueError("the file must be a path below the folder of --images")
    label = (row[LABEL] or "").strip().lower()
    if label not in _LABELS:
        raise ValueError(f"the label must be PNEUMONIA (or 1) or NORMAL (or 0), not {label!r}")
    patient = (row.get(PATIENT) or "").strip()
    if PATIENT in row and not patient:
        raise ValueError("the patient is empty")
    groups = tuple(_group(column, (row[column] or "").strip()) for column in columns)
    return Labelled(str(Path(file)), _LABELS[label], patient or str(Path(file)), groups)


def _group(column: str, value: str) -> str:
    if not value:
        return UNKNOWN
    return _age_band(value) if column == "age" else value


def _age_band(value: str) -> str:
    """The band of an age in years, or as DICOM writes it."""
    age = years_of(value)
    if age is None:
        raise ValueError(f"the age {value!r} is not a number of years from 0 to {OLDEST}")
    above = [limit for limit in _AGES if limit > age]
    first = max(limit for limit in _AGES if limit <= age)
    return f"{first:02} to {above[0] - 1:02}" if above else f"{first} and over"


def _check_groups(path: Path, rows: Sequence[Labelled], columns: Sequence[str]) -> None:
    for number, column in enumerate(columns):
        if (count := len({row.groups[number] for row in rows})) > _MAX_GROUPS:
            raise _fault(path, f"--group {column}: it has {count} different values, more than {_MAX_GROUPS}")


def _fault(path: Path, reason: str) -> SettingsError:
    return SettingsError(f"--labels: {path}: {reason}")
