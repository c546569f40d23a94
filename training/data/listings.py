"""Tables that describe the images of a folder: this project's own format, and those of public data sets.

``manifest.csv``: ``file``, ``label`` (PNEUMONIA or 1, NORMAL or 0, in capitals or not; not needed where the file's
folder is named after the class) and, where known, ``patient``, ``age`` (years, or as DICOM writes it), ``sex`` and
``view``. A site's list of labels for ``python -m service validate`` is such a table.

``Data_Entry_2017*.csv`` of NIH ChestX-ray14: PNEUMONIA if the labels contain Pneumonia, NORMAL if they are "No
Finding"; other images are left out. The images may be in subfolders.

``stage_2_detailed_class_info.csv`` of the RSNA Pneumonia Detection Challenge: "Lung Opacity" and "Normal"; other images
are left out. The images are named after the patient: the DICOM objects of the download, or PNG or JPEG made of them.

What a table does not tell of patient, age, sex and view, a DICOM header may (training.data.objects).
"""

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from contract.bundle import LABELS
from contract.formats.age import years_of
from training.data.folder import Radiograph, find_radiographs, patient_of
from training.errors import DataError

_Row = dict[str, str]
Label = Literal[0, 1]
_LABELS: dict[str, Label] = {LABELS[0].lower(): 0, "0": 0, LABELS[1].lower(): 1, "1": 1}
# The key of what a row has beyond the columns of the header.
_SURPLUS = "\0"
_SUFFIXES = {".png", ".jpg", ".jpeg", ".dcm"}


def find_listed(folder: Path) -> list[Radiograph] | None:
    """The radiographs that a table in this folder lists; None if the folder has no table of a known name.

    Raises:
        DataError: the table cannot be read, lacks a column, has a wrong row, lists an image twice or none; or an image
            that the table of a public data set lists is missing.
    """
    for path in find_tables(folder):
        rows = _rows_of(path)
        read = next(read for pattern, read in _TABLES.items() if path.match(pattern))
        try:
            found = list(read(rows, path))
        except KeyError as error:
            raise DataError(f"{path}: has no column {error}; the columns are: {', '.join(rows[0])}") from None
        if not found:
            raise DataError(f"{path}: lists no image of a class")
        name, count = Counter(radiograph.name for radiograph in found).most_common(1)[0]
        if count > 1:  # it would count twice, and perhaps with two labels
            raise DataError(f"{path}: lists {name} {count} times")
        return found
    return None


def _rows_of(path: Path) -> list[_Row]:
    """The rows of a table, without spaces around a value; a value that a short row lacks is empty.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restkey=_SURPLUS)
            rows, columns = list(reader), reader.fieldnames or []
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise DataError(f"{path}: is not a CSV file in UTF-8") from None
    if twice := [name for name in columns if name and columns.count(name) > 1]:
        raise DataError(f"{path}: has several columns {twice[0]!r}")
    return [{name: value.strip() if isinstance(value, str) else "" for name, value in row.items()} for row in rows]


def find_in_folder(folder: Path) -> list[Radiograph]:
    """The radiographs of a folder: those that its table lists, or if it has none, those in NORMAL/ and PNEUMONIA/.

    Raises:
        DataError: as ``find_listed`` and ``find_radiographs``.
    """
    listed = find_listed(folder)
    return find_radiographs(folder) if listed is None else listed


def find_tables(folder: Path) -> list[Path]:
    """The tables of a known name in this folder; the first is the one that is read."""
    return [path for pattern in _TABLES for path in sorted(folder.glob(pattern))]


def _own(rows: list[_Row], table: Path) -> Iterator[Radiograph]:
    for row in rows:
        name = Path(row["file"]).as_posix()
        if not row["file"] or "\0" in name or _SURPLUS in row:
            raise DataError(
                f"{table}: the row of {row['file']!r} names no file, or has more values than there are columns"
            )
        yield Radiograph(
            name=name,
            path=table.parent / name,
            label=_label_of(row.get("label", ""), name, table),
            patient=row.get("patient") or patient_of(Path(name).name),
            part=None,
            age=years_of(row.get("age", "")),
            sex=row.get("sex", ""),
            view=row.get("view", ""),
        )


def _label_of(stated: str, name: str, table: Path) -> Label:
    label = _LABELS.get((stated or Path(name).parent.name).lower())
    if label is None and stated:
        raise DataError(f"{table}: the label of {name} must be PNEUMONIA (or 1) or NORMAL (or 0), not {stated!r}")
    if label is None:
        raise DataError(f"{table}: {name} has no label, and is in no folder {' or '.join(LABELS)}")
    return label


def _nih(rows: list[_Row], table: Path) -> Iterator[Radiograph]:
    files = _images_below(table.parent)
    for row in rows:
        findings = row["Finding Labels"].split("|")
        label = _label("Pneumonia" in findings, findings == ["No Finding"])
        if label is None:
            continue
        path = _file(files, Path(row["Image Index"]).stem, table)
        yield Radiograph(
            name=path.relative_to(table.parent).as_posix(),
            path=path,
            label=label,
            patient=row["Patient ID"],
            part=None,
            age=years_of(row["Patient Age"]),
            sex=row.get("Patient Gender") or row.get("Patient Sex") or "",
            view=row.get("View Position") or "",
        )


def _rsna(rows: list[_Row], table: Path) -> Iterator[Radiograph]:
    files = _images_below(table.parent)
    # Each patient has one image, and one row per bounding box.
    for patient, title in {row["patientId"]: row["class"] for row in rows}.items():
        label = _label(title == "Lung Opacity", title == "Normal")
        if label is not None:
            path = _file(files, patient, table)
            yield Radiograph(path.relative_to(table.parent).as_posix(), path, label, patient, None)


_TABLES: dict[str, Callable[[list[_Row], Path], Iterator[Radiograph]]] = {
    "manifest.csv": _own,
    "Data_Entry_2017*.csv": _nih,
    "stage_2_detailed_class_info.csv": _rsna,
}


def _label(sick: bool, well: bool) -> Label | None:
    if sick:
        return 1
    return 0 if well else None


def _images_below(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.rglob("*")) if path.suffix.lower() in _SUFFIXES}


def _file(files: dict[str, Path], stem: str, table: Path) -> Path:
    if stem not in files:
        raise DataError(f"{table}: there is no PNG, JPEG or DICOM file named {stem} in {table.parent} or below")
    return files[stem]
