"""Domain randomisation: equal numbers give equal images, and each kind of change has its effect."""

import numpy as np
import pytest
from keras import ops

from tests.drawings import chest
from training.augmentation import kinds
from training.augmentation.kinds import Draws
from training.augmentation.overlays import draw_overlays
from training.augmentation.randomise import NUMBERS, partners, randomiser, widths

NOTHING = np.full((2, NUMBERS), 0.99, np.float32)  # draws nothing that is drawn by chance
FLAT = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (2, 1))


def images(count: int = 4) -> np.ndarray:
    return np.stack([chest(seed, 200, 200) for seed in range(count)])[..., np.newaxis]


def always(value: float, count: int = 1) -> Draws:
    return Draws(ops.convert_to_tensor(np.full((count, NUMBERS), value, np.float32)))


def randomised(
    pixels: np.ndarray,
    numbers: np.ndarray,
    partner: np.ndarray | None = None,
    share: np.ndarray | None = None,
    borders: np.ndarray | None = None,
) -> np.ndarray:
    """The batch; each image alone and with its own borders, unless another partner or others are given."""
    count = len(pixels)
    partner = np.arange(count, dtype=np.int32) if partner is None else partner
    share = np.ones(count, np.float32) if share is None else share
    borders = np.zeros((count, 4), np.float32) if borders is None else borders
    return np.asarray(randomiser(FLAT, 1).predict_on_batch([pixels, numbers, partner, share, borders]))


@pytest.fixture(scope="module")
def made() -> np.ndarray:
    return randomised(images(), np.random.default_rng(0).random((4, NUMBERS), np.float32))


def test_a_batch_keeps_its_shape_and_changes(made: np.ndarray) -> None:
    assert made.shape == (4, 200, 200, 1)
    assert made.dtype == np.uint8
    assert np.abs(made.astype(float) - images()).mean() > 5


def test_the_same_numbers_give_the_same_images_in_any_company(made: np.ndarray) -> None:
    numbers = np.random.default_rng(0).random((4, NUMBERS), np.float32)
    again = randomised(images()[:1], numbers[:1])
    assert np.abs(again[0].astype(float) - made[0]).max() <= 1


def test_an_image_without_a_share_of_its_own_is_its_partner() -> None:
    one, other = randomised(images(2), NOTHING, np.array([1, 1], np.int32), np.array([0, 1], np.float32))
    assert np.abs(one.astype(float) - other).max() <= 1


def test_an_image_has_the_borders_of_the_one_before_it_and_its_own_chest() -> None:
    grey = np.stack([np.full((200, 200, 1), level, np.uint8) for level in (40, 160)])
    numbers = NOTHING.copy()
    numbers[:, :10] = 0.5  # a position in the middle of each range
    borders = np.array([[0, 0, 0, 0], [0.1, 0.2, 0, 0.05]], np.float32)
    own, exchanged = randomised(grey, numbers, borders=borders)[..., 0].astype(int)
    assert np.ptp(own) <= 1
    assert np.abs(exchanged[50:185, 30:] - exchanged[100, 100]).max() <= 1
    assert np.abs(exchanged[:, :10] - own[0, 0]).max() <= 1
    assert np.abs(exchanged[:30] - own[0, 0]).max() <= 1
    assert exchanged[100, 100] - own[0, 0] > 50


def test_only_some_images_get_other_borders() -> None:
    found = widths(1000, 0.25, np.random.default_rng(0))
    assert 0.2 < (found.any(axis=1)).mean() < 0.3
    assert (found[found.any(axis=1)] >= 0.05).all()
    assert found.max() <= 0.15
    assert not widths(10, 0.0, np.random.default_rng(0)).any()


def test_partners_share_the_label_and_not_the_population() -> None:
    labels, populations = np.array([0, 0, 1, 1, 1], np.uint8), np.array(["a", "b", "a", "a", "a"])
    found = partners(populations, labels, np.random.default_rng(0))
    assert found.tolist() == [1, 0, 2, 3, 4]


def test_a_position_in_the_middle_of_its_range_is_a_mirror_at_most() -> None:
    """Draws of a half are no turn, zoom or shift; and over the share of those that are mirrored or filled."""
    drawn = ops.convert_to_tensor(images(1).astype(np.float32))
    assert np.abs(np.asarray(kinds.position(drawn, always(0.5))) - images(1)).max() < 1e-2


def test_a_jpeg_of_low_quality_leaves_an_image_alike() -> None:
    drawn = images(1).astype(np.float32)
    stored = np.asarray(kinds.jpeg(ops.convert_to_tensor(drawn), always(0.0)))
    assert 0.5 < np.abs(stored - drawn).mean() < 15


def test_what_is_not_drawn_is_not_done() -> None:
    drawn = ops.convert_to_tensor(images(1).astype(np.float32))
    for kind in (kinds.jpeg, kinds.sharpness, kinds.covered):
        assert np.abs(np.asarray(kind(drawn, always(0.999))) - images(1)).max() < 1e-3


def test_overlays_are_sparse_and_the_same_again() -> None:
    masks = draw_overlays(8, 3)
    assert masks.shape == (8, 200, 200)
    assert (masks == draw_overlays(8, 3)).all()
    assert 0 < (masks > 0).mean() < 0.3
    assert all(mask.any() for mask in masks)
