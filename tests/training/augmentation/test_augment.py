"""Augmentation: every seed gives another image, the same seed the same image, and the result is always an image."""

import numpy as np
import pytest

from tests.drawings import chest
from training.augmentation.augment import Augment, acquisition, slight, unchanged
from training.augmentation.batches import shuffled_batches
from training.augmentation.shifts import Pixels
from training.data.dataset import Dataset


@pytest.fixture
def augment(data: Dataset) -> Augment:
    return acquisition(data.pixels, data.labels)


def image() -> Pixels:
    return chest(3, 200, 200, 0.5)


@pytest.mark.parametrize("kind", ["acquisition", "slight"])
def test_the_result_is_an_image_that_depends_on_the_seed(kind: str, augment: Augment) -> None:
    work = augment if kind == "acquisition" else slight
    before, results = image(), []
    for seed in range(40):
        one, again = (work(before, np.random.default_rng(seed)) for _ in range(2))
        assert one.dtype == np.uint8
        assert one.shape == (200, 200)
        assert (one == again).all()
        assert np.ptp(one) > 0
        results.append(one)
    assert (before == image()).all()  # the argument is not modified
    assert len({one.tobytes() for one in results}) == len(results)


def test_slight_changes_are_slight(augment: Augment) -> None:
    def change(work: Augment) -> float:
        results = [work(image(), np.random.default_rng(seed)) for seed in range(60)]
        return float(np.mean([np.abs(result - image().astype(float)).mean() for result in results]))

    assert change(unchanged) == 0 < change(slight) < 0.7 * change(augment)


def test_histograms_are_taken_from_both_classes_equally(data: Dataset) -> None:
    """NORMAL is all dark, PNEUMONIA all bright: after augmentation, brightness does not depend on the class."""
    pixels = np.where(data.labels[:, None, None, None] == 1, 255 - data.pixels // 8, data.pixels // 8).astype(np.uint8)
    augment = acquisition(pixels, data.labels)
    for label in (0, 1):
        dark = pixels[np.flatnonzero(data.labels == label)[0], ..., 0]
        means = [augment(dark, np.random.default_rng(seed)).mean() for seed in range(200)]
        assert min(means) < 60
        assert max(means) > 190


def test_batches_are_augmented_by_seed_and_labels_stay_with_their_images(data: Dataset) -> None:
    def first(seed: tuple[int, int]) -> np.ndarray:
        return next(shuffled_batches(data, 16, seed, slight))[0]

    assert (first((1, 2)) == first((1, 2))).all()
    assert (first((1, 2)) != first((1, 3))).any()
    plain, labels, _ = next(shuffled_batches(data, 16, (1, 2)))
    by_content = {row.tobytes(): label for row, label in zip(data.pixels, data.labels, strict=True)}
    assert [by_content[row.tobytes()] for row in plain] == labels.tolist()
