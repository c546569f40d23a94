"""The stress suite, and the agreement of originals with copies."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.datasets import write_data_folder
from training.augmentation import shifts
from training.data.dataset import Dataset, load_dataset
from training.errors import DataError
from training.evaluation.agreement import agreement
from training.evaluation.stress import SUITE, StressTable, apply_shift, stress


def patch(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A model that sees the drawn pneumonia: the left lung is brighter than the right."""
    grey = pixels[..., 0].astype(np.float32)
    left, right = grey[:, 100:140, 45:70].mean((1, 2)), grey[:, 100:140, 130:155].mean((1, 2))
    return np.clip(0.5 + (left - right - 25) / 100, 0, 1).astype(np.float32)


def brightness(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A model that sees only the brightness of the whole image."""
    return (pixels.mean((1, 2, 3)) / 255).astype(np.float32)


def run(predict: object, data: Dataset, **options: int) -> StressTable:
    return stress(predict, data, data, 0.5, "drawn patients", **options)  # type: ignore[arg-type]


def test_the_suite_covers_what_a_hospital_may_differ_in(data: Dataset) -> None:
    calls: list[tuple[int, int]] = []
    table = stress(patch, data, data, 0.5, "drawn patients", progress=lambda *at: calls.append(at))
    assert [row.shift for row in table.shifts] == list(SUITE)
    assert calls == [(n + 1, len(SUITE)) for n in range(len(SUITE))]
    assert (table.images, table.patients, table.measured_on) == (48, 24, "drawn patients")
    words = " ".join(SUITE)
    for word in ("gamma", "contrast", "histogram", "collimation", "crop", "zoom", "rotation", "blur", "noise", "JPEG"):
        assert word in words
    assert all(row.auc.low <= row.auc.value <= row.auc.high for row in table.shifts)


def test_a_model_of_the_disease_passes_the_suite_and_a_model_of_brightness_does_not(data: Dataset) -> None:
    seeing, shallow = run(patch, data), run(brightness, data)
    assert seeing.unshifted.auc.value == shallow.unshifted.auc.value == 1
    for table, most, least in ((seeing, 1.0, 0.9), (shallow, 0.75, 0.0)):
        found = {row.shift: row.auc.value for row in table.shifts}
        assert least <= found["equalised histogram"] <= most
        assert least <= found["other class's histogram"] <= (most if table is seeing else 0.2)


def test_the_summary_is_of_the_realistic_shifts(data: Dataset) -> None:
    table = run(patch, data)
    realistic = [row for row in table.shifts if row.kind == "realistic"]
    assert table.worst_auc == min(row.auc.value for row in realistic)
    assert table.worst_auc == next(row.auc.value for row in realistic if row.shift == table.worst_shift)
    assert table.mean_auc == pytest.approx(np.mean([row.auc.value for row in realistic]))
    assert table.worst_balanced_accuracy == min(row.balanced_accuracy for row in realistic)
    assert {row.shift: row.kind for row in table.shifts}["inverted"] == "guard"


def test_shifts_depend_on_the_seed_and_the_row(data: Dataset) -> None:
    _, noise = SUITE["noise 8"]
    one, again, other = (apply_shift(noise, data, seed).pixels for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one[0] - data.pixels[0], one[1] - data.pixels[1])


def test_the_swapped_look_is_the_other_class_s(data: Dataset) -> None:
    looks = [np.array([shifts.cdf(np.full((200, 200), grey, np.uint8))]) for grey in (10, 240)]
    swapped = apply_shift(SUITE["other class's histogram"][1], data, 0, looks)
    assert (swapped.pixels[data.labels == 0] == 240).all()
    assert (swapped.pixels[data.labels == 1] == 10).all()


def test_copies_agree_with_themselves_and_differences_are_counted(data: Dataset) -> None:
    same = agreement(patch, data, data, 0.5)
    assert (same.images, same.mean_difference, same.decisions_changed) == (48, 0, 0)
    darker = replace(data, pixels=np.where(np.arange(48)[:, None, None, None] < 12, 0, data.pixels).astype(np.uint8))
    found = agreement(brightness, data, darker, 0.1)
    assert found.decisions_changed == 12
    assert found.share_changed == 0.25
    bright = brightness(data.pixels[:12])
    assert found.largest_difference == pytest.approx(bright.max())
    assert found.mean_difference == pytest.approx(bright.sum() / 48)


def test_originals_are_found_by_class_and_file_name(data: Dataset, folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "originals"
    shutil.copytree(folder, copied / "train")
    for path in list((copied / "train" / "NORMAL").iterdir())[5:]:
        path.rename(path.with_stem(f"another-{path.stem}"))
    originals = load_dataset(copied, tmp_path / "cache")
    found = agreement(patch, originals, data, 0.5)
    assert (found.images, found.mean_difference) == (29, 0)
    strangers = load_dataset(write_data_folder(tmp_path / "strangers" / "train", 3).parent, tmp_path / "cache")
    renamed = replace(strangers, radiographs=[replace(r, path=Path(f"x-{r.path.name}")) for r in strangers.radiographs])
    with pytest.raises(DataError, match="no file of --originals"):
        agreement(patch, renamed, data, 0.5)
    twice = replace(data, radiographs=[replace(r, path=Path("x.jpeg")) for r in data.radiographs])
    with pytest.raises(DataError, match="occurs twice"):
        agreement(patch, data, twice, 0.5)
