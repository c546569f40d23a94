"""Data folders: which files are radiographs, of which class and patient."""

from pathlib import Path

import pytest

from training.data.folder import find_radiographs, patient_of
from training.errors import DataError


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person23_bacteria_78.jpeg", "person23_bacteria"),
        ("person23_virus_78.jpeg", "person23_virus"),
        ("person447_virus_921_1.jpeg", "person447_virus"),
        ("IM-0115-0001.jpeg", "IM-0115"),
        ("IM-0115-0001-0002.jpeg", "IM-0115"),
        ("NORMAL2-IM-0115-0001.jpeg", "NORMAL2-IM-0115"),
        ("00001300_002.jpg", "00001300"),
        ("whatever.png", ""),
    ],
)
def test_the_patient_is_in_the_name(name: str, patient: str) -> None:
    assert patient_of(name) == patient


@pytest.mark.parametrize("above", ["", "chest_xray/"])
def test_one_folder_with_two_classes(tmp_path: Path, above: str) -> None:
    fill(tmp_path, f"{above}NORMAL/a.jpeg", f"{above}PNEUMONIA/b.png", f"{above}PNEUMONIA/.DS_Store")
    found = find_radiographs(tmp_path)
    assert [(r.name, r.label, r.part) for r in found] == [("NORMAL/a.jpeg", 0, None), ("PNEUMONIA/b.png", 1, None)]


def test_the_public_download_with_its_parts(tmp_path: Path) -> None:
    fill(tmp_path, "train/NORMAL/a", "train/PNEUMONIA/b", "val/NORMAL/c", "test/PNEUMONIA/d", "__MACOSX/x")
    found = find_radiographs(tmp_path)
    assert {(r.name, r.part) for r in found} == {
        ("train/NORMAL/a", "train"),
        ("train/PNEUMONIA/b", "train"),
        ("val/NORMAL/c", "val"),
        ("test/PNEUMONIA/d", "test"),
    }


def test_a_folder_of_another_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folders NORMAL and PNEUMONIA"):
        find_radiographs(fill(tmp_path, "cats/a.jpeg"))


def test_an_empty_class_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, "NORMAL/a.jpeg")
    (tmp_path / "PNEUMONIA").mkdir()
    with pytest.raises(DataError, match="no file of class PNEUMONIA"):
        find_radiographs(tmp_path)
