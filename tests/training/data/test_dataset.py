"""Every file is decoded once, by the image contract; files that cannot be read are skipped and named."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contract.bundle import sha256
from contract.image import to_pixels
from tests.drawings import jpeg
from training.data import dataset
from training.data.dataset import Dataset, load_dataset
from training.errors import DataError
from training.fitting.run import DataRecord


@pytest.fixture
def data(folder: Path, tmp_path: Path) -> Dataset:
    """The copy of the data folder, loaded with a cache that the tests damage."""
    return load_dataset(folder, tmp_path / "cache")


def test_rows_are_the_pixels_that_the_service_sees(data: Dataset) -> None:
    assert data.pixels.shape == (48, 200, 200, 1)
    assert data.pixels.dtype == np.uint8
    for radiograph, row in zip(data.radiographs, data.pixels, strict=True):
        assert (row == to_pixels(radiograph.path.read_bytes())).all()
    assert data.labels.sum() == 24
    assert len(data.sizes) == 12


def test_the_second_time_nothing_is_decoded(
    data: Dataset, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "to_pixels", None)
    (folder / "NORMAL" / "IM-0000-0000.jpeg").rename(folder / "NORMAL" / "IM-0000-0009.jpeg")
    again = load_dataset(folder, tmp_path / "cache")
    assert again.fingerprint == data.fingerprint
    assert sorted(again.digests) == sorted(data.digests)


def test_a_truncated_cache_file_is_replaced(data: Dataset, folder: Path, tmp_path: Path) -> None:
    for cached in (tmp_path / "cache").rglob("*.raw"):
        cached.write_bytes(cached.read_bytes()[:100])
    assert load_dataset(folder, tmp_path / "cache").fingerprint == data.fingerprint


def test_unreadable_files_are_skipped_and_named(folder: Path, tmp_path: Path) -> None:
    (folder / "NORMAL" / "cut.jpeg").write_bytes(jpeg()[:500])
    (folder / "NORMAL" / "notes.txt").write_bytes(b"remember the milk")
    (folder / "PNEUMONIA" / "tiny.jpeg").write_bytes(b"")
    calls: list[tuple[int, int]] = []
    data = load_dataset(folder, tmp_path / "cache", lambda done, total: calls.append((done, total)))
    assert len(data.radiographs) == 48
    assert {skipped.name for skipped in data.skipped} == {"NORMAL/cut.jpeg", "NORMAL/notes.txt", "PNEUMONIA/tiny.jpeg"}
    assert all(skipped.reason for skipped in data.skipped)
    assert calls == [(done, 51) for done in range(1, 52)]


def test_an_image_with_both_labels_is_left_out_under_all_its_names(folder: Path, tmp_path: Path) -> None:
    normal, ill = folder / "NORMAL", folder / "PNEUMONIA"
    known = load_dataset(folder, tmp_path / "cache")
    (ill / "copy.jpeg").write_bytes((normal / "IM-0000-0000.jpeg").read_bytes())
    decoded = Image.open(normal / "IM-0003-0001.jpeg")
    for name in ("as-png.png", "as-png-again.png"):  # other bytes, the same pixels
        decoded.save(ill / name)
    (normal / "twice.jpeg").write_bytes((normal / "IM-0005-0000.jpeg").read_bytes())  # one label: it stays
    (normal / "cut.jpeg").write_bytes(jpeg()[:500])
    data = load_dataset(folder, tmp_path / "cache")
    left_out = {skipped.name: skipped.reason for skipped in data.skipped if skipped.contradictory}
    assert left_out == {
        "NORMAL/IM-0000-0000.jpeg": "the same image as PNEUMONIA/copy.jpeg, with the other label",
        "NORMAL/IM-0003-0001.jpeg": "the same image as PNEUMONIA/as-png-again.png, with the other label",
        "PNEUMONIA/as-png-again.png": "the same image as NORMAL/IM-0003-0001.jpeg, with the other label",
        "PNEUMONIA/as-png.png": "the same image as NORMAL/IM-0003-0001.jpeg, with the other label",
        "PNEUMONIA/copy.jpeg": "the same image as NORMAL/IM-0000-0000.jpeg, with the other label",
    }
    assert [skipped.name for skipped in data.skipped if not skipped.contradictory] == ["NORMAL/cut.jpeg"]
    names = {row.name for row in data.radiographs}
    assert names == {row.name for row in known.radiographs} - left_out.keys() | {"NORMAL/twice.jpeg"}
    assert len(data.pixels) == len(data.digests) == len(names)
    assert [sha256(pixels.tobytes()) for pixels in data.pixels] == data.digests
    assert DataRecord.of(folder, data).skipped.keys() == left_out.keys() | {"NORMAL/cut.jpeg"}


def test_a_file_whose_name_is_not_in_utf_8_is_skipped(folder: Path, tmp_path: Path) -> None:
    picture = (folder / "NORMAL" / "IM-0000-0000.jpeg").read_bytes()
    (folder / "NORMAL" / os.fsdecode(b"m\xfcller.jpeg")).write_bytes(picture)
    data = load_dataset(folder, tmp_path / "cache")
    assert [(file.name, file.reason) for file in data.skipped] == [
        ("NORMAL/m\\udcfcller.jpeg", "its name is not in UTF-8")
    ]
    assert DataRecord.of(folder, data).model_dump_json()


def test_a_cache_that_cannot_be_written_is_not_taken_for_unreadable_images(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="choose another folder with --cache"):
        load_dataset(folder, tmp_path / "cache")


def test_a_class_of_unreadable_files_is_refused(folder: Path, tmp_path: Path) -> None:
    for path in (folder / "NORMAL").iterdir():
        path.write_bytes(b"x")
    with pytest.raises(DataError, match="none of the images of class NORMAL can be read"):
        load_dataset(folder, tmp_path / "cache")


def test_the_fingerprint_depends_on_labels(data: Dataset, folder: Path, tmp_path: Path) -> None:
    moved = folder / "NORMAL" / "IM-0000-0000.jpeg"
    moved.rename(folder / "PNEUMONIA" / "person99_virus_1.jpeg")
    assert load_dataset(folder, tmp_path / "cache").fingerprint != data.fingerprint


def test_rows_by_name_come_in_the_order_given(data: Dataset) -> None:
    names = [data.radiographs[row].name for row in (5, 40, 0)]
    chosen = data.rows(names)
    assert [radiograph.name for radiograph in chosen.radiographs] == names
    assert (chosen.pixels == data.pixels[[5, 40, 0]]).all()
    with pytest.raises(DataError, match="no/such"):
        data.rows(["no/such"])
