"""The radiographs in a data folder: which files, which class, which patient."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from contract.bundle import LABELS
from training.errors import DataError

PARTS = ("train", "val", "test")
# The public download unpacks into a folder of this name.
_DOWNLOAD = "chest_xray"

# How the file names of the public sets identify a patient. Kermany et al. number bacterial and viral pneumonia
# separately, and "IM" and "NORMAL2-IM" are different series.
_PATIENT = (
    re.compile(r"(?P<patient>person\d+_(?:bacteria|virus))_"),
    re.compile(r"(?P<patient>(?:NORMAL2-)?IM-\d+)-"),
    re.compile(r"(?P<patient>\d{8})_\d{3}\."),  # NIH ChestX-ray14
)


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One image file. ``name`` is its path below the data folder; ``label`` is 1 for PNEUMONIA, 0 for NORMAL.

    ``patient`` is empty where neither a table nor a file name that follows a known pattern tells it. ``source`` and
    ``population`` are known in a data set of several sources; ``age`` (years), ``sex`` and ``view`` where a table or a
    DICOM header tells them.
    """

    name: str
    path: Path
    label: Literal[0, 1]
    patient: str
    part: str | None
    source: str = ""
    population: str = ""
    age: float | None = None
    sex: str = ""
    view: str = ""


def find_radiographs(root: Path) -> list[Radiograph]:
    """List the files of a data folder, sorted by name.

    Args:
        root: a folder with NORMAL/ and PNEUMONIA/, a folder with any of train/, val/ and test/ that each have both,
            or the parent folder of such a ``chest_xray/``.

    Raises:
        DataError: the folder has none of these layouts, or a class has no file.
    """
    base = next((folder for folder in (root, root / _DOWNLOAD) if _class_folders(folder)), None)
    if base is None:
        raise DataError(
            f"{root}: contains no folders NORMAL and PNEUMONIA, neither directly nor in train, val or test, and no "
            "manifest.csv"
        )
    found = [
        _radiograph(path, base, label, part)
        for part, label, folder in _class_folders(base)
        for path in sorted(folder.iterdir())
        if path.is_file() and not path.name.startswith(".")
    ]
    for label, title in enumerate(LABELS):
        if all(radiograph.label != label for radiograph in found):
            raise DataError(f"{base}: contains no file of class {title}")
    return sorted(found, key=lambda radiograph: radiograph.name)


def patient_of(file_name: str) -> str:
    """The patient that a file name identifies; empty if its form is not known."""
    matches = (pattern.match(file_name) for pattern in _PATIENT)
    return next((match["patient"] for match in matches if match), "")


def _class_folders(base: Path) -> list[tuple[str | None, Literal[0, 1], Path]]:
    parts: list[str | None] = [part for part in PARTS if (base / part).is_dir()]
    labels: tuple[Literal[0, 1], ...] = (0, 1)
    folders = [(part, label, base / (part or "") / LABELS[label]) for part in parts or [None] for label in labels]
    return [entry for entry in folders if entry[2].is_dir()]


def _radiograph(path: Path, base: Path, label: Literal[0, 1], part: str | None) -> Radiograph:
    return Radiograph(path.relative_to(base).as_posix(), path, label, patient_of(path.name), part)
