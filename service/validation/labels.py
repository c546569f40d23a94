"""Reads ``labels.csv``: a file, its label, and optionally its patient and the columns to group by."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.formats.age import OLDEST, age_band, years_of
from contract.io.tables import FilesBelow, Row, TableError, label_of, read_table
from service.settings import SettingsError

FILE, LABEL, PATIENT, AGE = _OURS = ("file", "label", "patient", "age")
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


def read_labels(path: Path, columns: Sequence[str], folder: Path) -> Labels:
    """Read and check all of ``labels.csv``; a wrong row is an error, because a lost one would bias the figures.

    Args:
        path: CSV in UTF-8 with a header (contract.io.tables). ``file`` and ``label`` are required: PNEUMONIA or 1,
            NORMAL or 0. Images with the same ``patient`` are of one patient; without that column, each image counts as
            a patient of its own.
        columns: names of the columns to group by. ``age`` (years, also as 045Y) is grouped in bands.
        folder: that the files are below; one that is spelled otherwise there is found.

    Raises:
        SettingsError: names the line and the fault.
    """
    columns = [name.casefold() if name.casefold() in _OURS else name for name in columns]
    try:
        table = list(read_table(path, {*_OURS, *columns}, (FILE, LABEL, *columns)))
        rows = tuple(_rows(table, columns, FilesBelow(folder)))
    except TableError as error:
        raise _fault(path, str(error)) from None
    if not rows:
        raise _fault(path, "it has no rows")
    _check_groups(path, rows, columns)
    return Labels(rows, tuple(columns), PATIENT in table[0][1])


def _rows(table: Sequence[Row], columns: Sequence[str], files: FilesBelow) -> Iterator[Labelled]:
    """Parse all rows.

    Raises:
        TableError: the fault of a row.
    """
    seen: set[str] = set()
    for line, row in table:
        try:
            labelled = _row(row, columns, files)
        except ValueError as error:
            raise TableError(f"line {line}: {error}") from None
        if labelled.file in seen:
            raise TableError(f"line {line}: {labelled.file!r} occurs twice")
        seen.add(labelled.file)
        yield labelled


def _row(row: Mapping[str, str], columns: Sequence[str], files: FilesBelow) -> Labelled:
    """Parse a row.

    Raises:
        ValueError: the fault.
    """
    stated = row[FILE]
    if not stated or Path(stated).is_absolute() or ".." in Path(stated).parts:
        raise ValueError(f"the {FILE} must be a path below the folder of --images")
    label = label_of(row[LABEL])
    if label is None:
        raise ValueError(f"the {LABEL} must be PNEUMONIA (or 1) or NORMAL (or 0), not {row[LABEL]!r}")
    if row.get(PATIENT) == "":
        raise ValueError(f"the {PATIENT} is empty")
    file = files.find(stated)
    groups = tuple(_group(column, row[column]) for column in columns)
    return Labelled(file, bool(label), row.get(PATIENT) or file, groups)


def _group(column: str, value: str) -> str:
    if not value or column != AGE:
        return value or UNKNOWN
    years = years_of(value)
    if years is None:
        raise ValueError(
            f"the {column} {value!r} is not a number of years from 0 to {OLDEST}, or as DICOM writes it, such as 018M"
        )
    return age_band(years)


def _check_groups(path: Path, rows: Sequence[Labelled], columns: Sequence[str]) -> None:
    for number, column in enumerate(columns):
        if (count := len({row.groups[number] for row in rows})) > _MAX_GROUPS:
            raise _fault(path, f"--group {column}: it has {count} different values, more than {_MAX_GROUPS}")


def _fault(path: Path, reason: str) -> SettingsError:
    return SettingsError(f"--labels: {path}: {reason}")
