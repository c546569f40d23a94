"""Controls detect shortcuts that are drawn into images; probes detect a model that uses them."""

from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.image import SIDE
from tests.drawings import chest, encode
from training.augmentation import shifts
from training.data.dataset import Dataset, load_dataset
from training.data.folder import Radiograph
from training.evaluation import controls, probes
from training.evaluation.controls import CONTROLS, run_controls, run_file_controls
from training.evaluation.probes import PROBES, probe
from training.evaluation.stress import apply_shift

# By control: a shortcut drawn into the PNEUMONIA images that this control can see.
SHORTCUTS = {
    "mean intensity": lambda pixels: shifts.contrast(pixels, 1, 30),
    "noise and JPEG statistics": lambda pixels: shifts.blur(pixels, 1),
    "border, the outer 10 %": lambda pixels: shifts.marker(pixels, "LLL", 0.0, 0.0, 20),
    "blurred to 8 x 8": lambda pixels: shifts.affine(pixels, shift_x=0.1),
}


def drawn(shortcut: str | None) -> Dataset:
    """120 chests without a disease, of one patient each; those labelled PNEUMONIA have the shortcut."""
    pixels = [chest(seed, SIDE, SIDE) for seed in range(120)]
    if shortcut:
        pixels = [SHORTCUTS[shortcut](row) if seed % 2 else row for seed, row in enumerate(pixels)]
    names = [str(seed) for seed in range(120)]
    labels: tuple[Literal[0, 1], ...] = (0, 1)
    radiographs = [Radiograph(name, Path(name), labels[int(name) % 2], name, None) for name in names]
    return Dataset(radiographs, np.stack(pixels)[..., np.newaxis], names, Counter(), [])


def control_aucs(data: Dataset) -> dict[str, float]:
    """The AUC of each control, trained on the first 80 patients and measured on the others."""
    names = [radiograph.name for radiograph in data.radiographs]
    measured = run_controls(data.rows(names[:80]), data.rows(names[80:]), "drawn")
    return {control.sees: control.auc.value for control in measured}


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_a_shortcut_is_found_by_the_control_that_sees_it(shortcut: str) -> None:
    assert control_aucs(drawn(shortcut))[shortcut] > 0.9


def test_without_a_shortcut_the_controls_find_none() -> None:
    measured = control_aucs(drawn(None))
    assert measured.keys() == CONTROLS.keys()
    assert 0.3 < np.mean(list(measured.values())) < 0.7


@pytest.mark.parametrize("name", CONTROLS)
def test_features_are_numbers_row_by_row(name: str) -> None:
    pixels = np.stack([chest(seed, SIDE, SIDE) for seed in range(3)] + [np.zeros((SIDE, SIDE), np.uint8)])
    features = CONTROLS[name](pixels)
    assert features.ndim == 2
    assert np.isfinite(features).all()
    assert np.allclose(CONTROLS[name](pixels[1:2])[0], features[1])


def test_each_control_sees_what_its_name_says_and_no_more() -> None:
    image = chest(1, SIDE, SIDE)[np.newaxis]
    hollow, mixed = image.copy(), image[:, :, ::-1]
    hollow[:, 20:180, 20:180] = 0
    assert np.array_equal(controls.border(image), controls.border(hollow))
    assert controls.border(image).shape == (1, 144)
    assert np.array_equal(controls.histogram(image), controls.histogram(mixed))
    assert np.allclose(controls.shuffled(image), controls.shuffled(np.roll(image, 50, axis=1)))
    assert not np.allclose(controls.coding(image), controls.coding(shifts.blur(image[0], 1)[np.newaxis]))


def test_file_controls_separate_classes_by_aspect_ratio_and_size(tmp_path: Path) -> None:
    for label, width, quality in (("NORMAL", 300, 95), ("PNEUMONIA", 420, 40)):
        (tmp_path / label).mkdir()
        for seed in range(4):
            (tmp_path / label / f"{seed}.jpeg").write_bytes(encode(chest(seed, width, 300), "JPEG", quality=quality))
    aspect, size = run_file_controls(load_dataset(tmp_path, tmp_path / "cache"))
    assert (aspect.sees, aspect.auc.value) == ("width / height of the original", 1)
    assert size.auc.value == 1
    assert aspect.measured_on.startswith("8 originals")


def test_probes_keep_only_the_part_they_name() -> None:
    image = chest(3, SIDE, SIDE)
    grey = round(float(image.mean()))
    ring = probes.border_only(image, None)  # type: ignore[arg-type]
    assert (ring[20:180, 20:180] == grey).all()
    assert np.array_equal(ring[:20], image[:20])
    middle = probes.centre_only(image, None)  # type: ignore[arg-type]
    assert np.array_equal(middle[50:150, 50:150], image[50:150, 50:150])
    assert (middle[:50] == grey).all()


def test_shuffled_patches_are_the_same_patches_in_another_order() -> None:
    data = drawn(None)
    mixed = apply_shift(PROBES["shuffled patches, 8 x 8"], data, 0).pixels
    assert np.array_equal(np.sort(mixed.reshape(120, -1)), np.sort(data.pixels.reshape(120, -1)))
    assert not np.array_equal(mixed, data.pixels)

    def patches(pixels: NDArray[np.uint8]) -> set[bytes]:
        tiles = pixels.reshape(8, 25, 8, 25).swapaxes(1, 2).reshape(64, -1)
        return {tile.tobytes() for tile in tiles}

    assert patches(mixed[0]) == patches(data.pixels[0])


def test_a_model_that_relies_on_the_border_is_detected() -> None:
    def by_the_border(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return (pixels[:, :20, :20].mean((1, 2, 3)) / 255).astype(np.float32)

    marked = drawn("border, the outer 10 %")
    measured = {control.sees: control.auc for control in probe(by_the_border, marked, "drawn")}
    assert measured["border, the outer 10 %"].value > 0.95
    assert measured["centre, half of each side"].value < 0.9
    assert measured.keys() == PROBES.keys()
