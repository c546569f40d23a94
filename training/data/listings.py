"""Tables that describe the images of a folder: this project's own format, and those of public data sets.

``manifest.csv``: ``file``, ``label`` (PNEUMONIA or 1, NORMAL or 0; not needed where the file's folder is named after
the class) and, where known, ``patient``, ``age`` (years), ``sex`` and ``view``. A site's list of labels for
``python -m service validate`` is such a table.

``Data_Entry_2017*.csv`` of NIH ChestX-ray14: PNEUMONIA if the labels contain Pneumonia, NORMAL if they are "No
Finding"; other images are left out. The images may be in subfolders.

``stage_2_detailed_class_info.csv`` of the RSNA Pneumonia Detection Challenge: "Lung Opacity" and "Normal"; other images
are left out. The images are named after the patient: the DICOM objects of the download, or PNG or JPEG made of them.

What a table does not tell of patient, age, sex and view, a DICOM header may (training.data.objects).
"""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from contract.bundle import LABELS
from training.data.folder import Radiograph, find_radiographs, patient_of
from training.errors import DataError

_Row = dict[str, str]
Label = Literal[0, 1]
_LABELS: dict[str, Label] = {LABELS[0]: 0, "0": 0, LABELS[1]: 1, "1": 1}
_SUFFIXES = {".png", ".jpg", ".jpeg", ".dcm"}


def find_listed(folder: Path) -> list[Radiograph] | None:
    """The radiographs that a table in this folder lists; None if the folder has no table of a known name.

    Raises:
        DataError: the table lacks a column, or an image that it lists is missing.
    """
    for path in find_tables(folder):
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        read = next(read for pattern, read in _TABLES.items() if path.match(pattern))
        try:
            return list(read(rows, path))
        except KeyError as error:
            raise DataError(f"{path}: has no column {error}") from None
    return None


def find_in_folder(folder: Path) -> list[Radiograph]:
    """The radiographs of a folder: those that its table lists, or if it has none, those in NORMAL/ and PNEUMONIA/.

    Raises:
        DataError: as ``find_listed`` and ``find_radiographs``.
    """
    return find_listed(folder) or find_radiographs(folder)


def find_tables(folder: Path) -> list[Path]:
    """The tables of a known name in this folder; the first is the one that is read."""
    return [path for pattern in _TABLES for path in sorted(folder.glob(pattern))]


def _own(rows: list[_Row], table: Path) -> Iterator[Radiograph]:
    for row in rows:
        name = row["file"]
        title = (row.get("label") or Path(name).parent.name).strip()
        if title not in _LABELS:
            raise DataError(f"{table}: {name} has no label, and is in no folder {' or '.join(LABELS)}")
        yield Radiograph(
            name=name,
            path=table.parent / name,
            label=_LABELS[title],
            patient=row.get("patient") or patient_of(Path(name).name),
            part=None,
            age=_age(row.get("age") or ""),
            sex=row.get("sex") or "",
            view=row.get("view") or "",
        )


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
            age=_age(row["Patient Age"].rstrip("Y")),
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


def _age(text: str) -> float | None:
    """Years; None if the text is not a number."""
    try:
        return float(text)
    except ValueError:
        return None
