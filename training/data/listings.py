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

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from contract.bundle import LABELS
from contract.formats import SUFFIXES
from contract.formats.age import years_of
from contract.io.tables import FilesBelow, Label, Row, TableError, label_of, read_table
from training.data.folder import Radiograph, find_radiographs, patient_of
from training.errors import DataError

_OWN = "manifest.csv"
# What is taken for a table where its name is not quite that.
_ENDINGS = {".csv", ".tsv", ".txt", ".xlsx", ".xls", ".ods"}


def find_listed(folder: Path) -> list[Radiograph] | None:
    """The radiographs that a table in this folder lists; None if the folder has no table of a known name.

    Raises:
        DataError: the table cannot be read, lacks a column, has a wrong row, lists an image twice or none; or an image
            that the table of a public data set lists is missing.
    """
    for path in find_tables(folder):
        table = next(table for pattern, table in _TABLES.items() if path.match(pattern))
        try:
            rows = read_table(path, {*table.required, *table.further}, table.required)
            found = list(table.read(rows, path.parent))
        except TableError as error:
            raise DataError(f"{path}: {error}") from None
        if not found:
            raise DataError(f"{path}: lists no image of a class")
        name, count = Counter(radiograph.name for radiograph in found).most_common(1)[0]
        if count > 1:  # it would count twice, and perhaps with two labels
            raise DataError(f"{path}: lists {name} {count} times")
        return found
    return None


def find_in_folder(folder: Path) -> list[Radiograph]:
    """The radiographs of a folder: those that its table lists, or if it has none, those in NORMAL/ and PNEUMONIA/.

    Raises:
        DataError: as ``find_listed`` and ``find_radiographs``.
    """
    listed = find_listed(folder)
    return find_radiographs(folder) if listed is None else listed


def find_tables(folder: Path) -> list[Path]:
    """The tables of a known name in this folder; the first is the one that is read.

    Raises:
        DataError: there is none, but what may be meant as one: without it, nothing would be known of patients.
    """
    found = [path for pattern in _TABLES for path in sorted(folder.glob(pattern))]
    if not found and folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.stem.lower() == Path(_OWN).stem and path.suffix.lower() in _ENDINGS:
                raise DataError(f"{path}: is not read; the table of a folder must be a CSV file named {_OWN}")
    return found


def _own(rows: Iterator[Row], folder: Path) -> Iterator[Radiograph]:
    files = FilesBelow(folder)
    for line, row in rows:
        if not row["file"] or "\0" in row["file"]:
            raise TableError(f"line {line}: the row of {row['file']!r} names no file")
        name = files.find(row["file"])
        yield Radiograph(
            name=name,
            path=folder / name,
            label=_label_of(row.get("label", ""), name, line),
            patient=row.get("patient") or patient_of(Path(name).name),
            part=None,
            age=years_of(row.get("age", "")),
            sex=row.get("sex", ""),
            view=row.get("view", ""),
        )


def _label_of(stated: str, name: str, line: int) -> Label:
    label = label_of(stated or Path(name).parent.name)
    if label is None and stated:
        raise TableError(f"line {line}: the label of {name} must be PNEUMONIA (or 1) or NORMAL (or 0), not {stated!r}")
    if label is None:
        raise TableError(f"line {line}: {name} has no label, and is in no folder {' or '.join(LABELS)}")
    return label


def _nih(rows: Iterator[Row], folder: Path) -> Iterator[Radiograph]:
    files = _images_below(folder)
    for line, row in rows:
        findings = row["Finding Labels"].split("|")
        label = _label("Pneumonia" in findings, findings == ["No Finding"])
        if label is None:
            continue
        path = _file(files, Path(row["Image Index"]).stem, line)
        yield Radiograph(
            name=path.relative_to(folder).as_posix(),
            path=path,
            label=label,
            patient=row["Patient ID"],
            part=None,
            age=years_of(row["Patient Age"]),
            sex=row.get("Patient Gender") or row.get("Patient Sex") or "",
            view=row.get("View Position") or "",
        )


def _rsna(rows: Iterator[Row], folder: Path) -> Iterator[Radiograph]:
    files = _images_below(folder)
    # Each patient has one image, and one row per bounding box.
    for patient, (line, title) in {row["patientId"]: (line, row["class"]) for line, row in rows}.items():
        label = _label(title == "Lung Opacity", title == "Normal")
        if label is not None:
            path = _file(files, patient, line)
            yield Radiograph(path.relative_to(folder).as_posix(), path, label, patient, None)


class _Table(NamedTuple):
    """How the rows of a table below a folder are read, and the columns that it must and may have."""

    read: Callable[[Iterator[Row], Path], Iterator[Radiograph]]
    required: tuple[str, ...]
    further: tuple[str, ...] = ()


_TABLES = {
    _OWN: _Table(_own, ("file",), ("label", "patient", "age", "sex", "view")),
    "Data_Entry_2017*.csv": _Table(
        _nih,
        ("Image Index", "Finding Labels", "Patient ID", "Patient Age"),
        ("Patient Gender", "Patient Sex", "View Position"),
    ),
    "stage_2_detailed_class_info.csv": _Table(_rsna, ("patientId", "class")),
}


def _label(sick: bool, well: bool) -> Label | None:
    if sick:
        return 1
    return 0 if well else None


def _images_below(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES}


def _file(files: dict[str, Path], stem: str, line: int) -> Path:
    if stem not in files:
        raise TableError(f"line {line}: there is no PNG, JPEG or DICOM file named {stem} in this folder or below")
    return files[stem]
