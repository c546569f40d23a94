"""Laws of the acquisition shifts, and what each does to a drawn chest."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from contract.image import SIDE
from tests.drawings import chest
from training.augmentation import shifts
from training.augmentation.shifts import Pixels

CHEST = chest(1, SIDE, SIDE)
GREY = np.full((SIDE, SIDE), 128, np.uint8)

Shift = Callable[[Pixels], Pixels]


def seeded(**options: float) -> Shift:
    return lambda pixels: shifts.noise(pixels, rng=np.random.default_rng(5), **options)  # type: ignore[arg-type]


IDENTITIES: dict[str, Shift] = {
    "gamma": partial(shifts.gamma, exponent=1),
    "contrast": partial(shifts.contrast, factor=1),
    "match": partial(shifts.match_histogram, reference_cdf=shifts.cdf(chest(2, SIDE, SIDE)), strength=0),
    "affine": shifts.affine,
    "crop": partial(shifts.crop, left=0, top=0, right=0, bottom=0),
    "collimate": partial(shifts.collimate, left=0, top=0, right=0, bottom=0),
    "erase": partial(shifts.erase, x=0.2, y=0.2, width=0, height=0.5),
    "marker": partial(shifts.marker, text="", x=0.1, y=0.1, size=20),
    "blur": partial(shifts.blur, sigma=0),
    "sharpen": partial(shifts.sharpen, amount=0),
    "noise": seeded(sigma=0),
    "resolution": partial(shifts.resolution, side=SIDE),
}
CHANGES: dict[str, Shift] = {
    "gamma": partial(shifts.gamma, exponent=0.5),
    "contrast": partial(shifts.contrast, factor=0.7, offset=20),
    "invert": shifts.invert,
    "match": partial(shifts.match_histogram, reference_cdf=shifts.cdf(GREY)),
    "equalise": shifts.equalise,
    "affine": partial(shifts.affine, rotation=7, zoom_x=1.1, shift_y=0.05, shear=0.1, fill=30, flip=True),
    "crop": partial(shifts.crop, left=0.1, top=0, right=0.05, bottom=0),
    "collimate": partial(shifts.collimate, left=0.1, top=0, right=0.05, bottom=0, value=20),
    "erase": partial(shifts.erase, x=0.9, y=-0.1, width=0.3, height=0.3),
    "marker": partial(shifts.marker, text="L", x=0.1, y=0.1, size=20),
    "blur": partial(shifts.blur, sigma=1.5),
    "sharpen": partial(shifts.sharpen, amount=1),
    "noise": seeded(sigma=8),
    "coarse noise": seeded(sigma=8, coarse=True),
    "jpeg": partial(shifts.jpeg, quality=20),
    "resolution": partial(shifts.resolution, side=64),
}
WRONG: list[Shift] = [
    partial(shifts.gamma, exponent=0),
    partial(shifts.contrast, factor=-1),
    partial(shifts.match_histogram, reference_cdf=shifts.cdf(CHEST), strength=1.1),
    partial(shifts.affine, zoom_x=0),
    partial(shifts.crop, left=0.5, top=0, right=0.5, bottom=0),
    partial(shifts.collimate, left=-0.1, top=0, right=0, bottom=0),
    partial(shifts.blur, sigma=-1),
    partial(shifts.sharpen, amount=-1),
    seeded(sigma=-1),
    partial(shifts.jpeg, quality=0),
    partial(shifts.resolution, side=201),
]

images = st.integers(0, 30).map(lambda seed: chest(seed, SIDE, SIDE, opacity=seed % 2)) | arrays(
    np.uint8, (SIDE, SIDE), elements=st.integers(0, 255), fill=st.integers(0, 255)
)


@pytest.mark.parametrize("name", CHANGES)
@settings(max_examples=10)
@given(images)
def test_the_result_is_an_image_and_the_argument_stays(name: str, pixels: Pixels) -> None:
    before = pixels.copy()
    result = CHANGES[name](pixels)
    assert result.shape == (SIDE, SIDE)
    assert result.dtype == np.uint8
    assert result.flags.writeable
    assert not np.shares_memory(result, pixels)
    assert np.array_equal(pixels, before)
    assert np.array_equal(CHANGES[name](pixels), result)


@pytest.mark.parametrize("name", CHANGES)
def test_a_chest_is_changed(name: str) -> None:
    assert not np.array_equal(CHANGES[name](CHEST), CHEST)


@pytest.mark.parametrize("name", IDENTITIES)
@settings(max_examples=10)
@given(images)
def test_the_identity_changes_nothing(name: str, pixels: Pixels) -> None:
    assert np.array_equal(IDENTITIES[name](pixels), pixels)


@pytest.mark.parametrize("shift", WRONG)
def test_a_parameter_out_of_range_is_refused(shift: Shift) -> None:
    with pytest.raises(ValueError, match=r"needs|must be|must leave"):
        shift(CHEST)


@given(st.floats(0.2, 5), st.floats(0.2, 5))
def test_gamma_keeps_the_order_of_greys_and_darkens_as_it_grows(one: float, other: float) -> None:
    levels = np.resize(np.arange(256, dtype=np.uint8), (SIDE, SIDE))
    dim = shifts.gamma(levels, max(one, other)).ravel()[:256].astype(int)
    assert (np.diff(dim) >= 0).all()
    assert (dim[0], dim[255]) == (0, 255)
    assert (shifts.gamma(levels, max(one, other)) <= shifts.gamma(levels, min(one, other))).all()


@given(st.floats(0, 3), st.floats(-60, 60))
def test_contrast_moves_the_middle_by_the_offset(factor: float, offset: float) -> None:
    assert abs(int(shifts.contrast(GREY, factor, offset)[0, 0]) - (128 + offset)) <= 0.5 * factor + 1


@settings(max_examples=20)
@given(images)
def test_inverted_twice_is_the_same(pixels: Pixels) -> None:
    assert np.array_equal(shifts.invert(shifts.invert(pixels)), pixels)


@settings(max_examples=30)
@given(st.integers(0, 50), st.integers(51, 99))
def test_a_matched_image_has_the_quantiles_of_the_reference(one: int, other: int) -> None:
    pixels, reference = chest(one, SIDE, SIDE), chest(other, SIDE, SIDE, opacity=1)
    matched = shifts.match_histogram(pixels, shifts.cdf(reference))
    shares = np.linspace(0.02, 0.98, 25)
    assert np.abs(np.quantile(matched, shares) - np.quantile(reference, shares)).max() <= 6
    half = shifts.match_histogram(pixels, shifts.cdf(reference), 0.5)
    between = (np.quantile(pixels, shares) + np.quantile(reference, shares)) / 2
    assert np.abs(np.quantile(half, shares) - between).max() <= 6


@settings(max_examples=20)
@given(images)
def test_an_image_matched_to_itself_stays(pixels: Pixels) -> None:
    assert np.array_equal(shifts.match_histogram(pixels, shifts.cdf(pixels)), pixels)


def test_the_cumulative_histogram_counts_pixels_at_or_below_a_level() -> None:
    cumulative = shifts.cdf(CHEST)
    assert cumulative.shape == (256,)
    assert cumulative[-1] == 1
    assert cumulative[100] == pytest.approx((CHEST <= 100).mean())


def test_equalised_greys_are_even() -> None:
    assert np.abs(np.quantile(shifts.equalise(CHEST), np.linspace(0, 1, 9)) - np.linspace(0, 255, 9)).max() <= 8


def test_the_affine_map_goes_where_it_says() -> None:
    dot = np.zeros((SIDE, SIDE), np.uint8)
    dot[98:102, 138:142] = 255  # right of the centre

    def place(**options: float) -> list[int]:
        result = shifts.affine(dot, **options)  # type: ignore[arg-type]
        y, x = np.nonzero(result > 100)
        return [round(float(x.mean() + 0.5 - 100)), round(float(y.mean() + 0.5 - 100))]

    assert place() == [40, 0]
    assert place(rotation=90) == [0, 40]
    assert place(zoom_x=1.5, zoom_y=3) == [60, 0]
    assert place(shift_x=0.1, shift_y=-0.2) == [60, -40]
    assert place(shift_y=0.2, shear=0.5) == [40, 40]
    assert place(flip=True) == [-40, 0]
    assert place(rotation=90, shear=0.5) == [0, 40]
    assert (shifts.affine(GREY, zoom_x=0.5, fill=7)[:, :40] == 7).all()


def test_cropping_enlarges_and_collimating_hides() -> None:
    half = np.zeros((SIDE, SIDE), np.uint8)
    half[:, 100:] = 255
    assert (shifts.crop(half, 0.5, 0, 0, 0)[:, 2:] == 255).all()
    shadow = shifts.collimate(GREY, 0.1, 0.2, 0, 0.05, value=9)
    assert (shadow[:40] == 9).all()
    assert (shadow[:, :20] == 9).all()
    assert (shadow[190:] == 9).all()
    assert (shadow[40:190, 20:] == 128).all()


def test_a_rectangle_is_erased_and_no_more() -> None:
    result = shifts.erase(GREY, 0.1, 0.2, 0.3, 0.05, value=1)
    assert (result[40:50, 20:80] == 1).all()
    assert (result == 1).sum() == 600
    assert (shifts.erase(GREY, -0.5, -0.5, 0.2, 0.2) == 128).all()


def test_a_marker_is_written_at_its_position() -> None:
    changed = shifts.marker(GREY, "L", 0.5, 0.5, 24, value=250) != GREY
    rows, columns = np.nonzero(changed)
    assert 20 < changed.sum() < 400
    assert 100 <= columns.min() <= columns.max() < 124
    assert 100 <= rows.min() <= rows.max() < 130


def test_blur_takes_detail_away_and_sharpen_adds_it() -> None:
    def detail(pixels: Pixels) -> float:
        return float(np.abs(np.diff(pixels.astype(int), axis=1)).mean())

    assert detail(shifts.blur(CHEST, 2)) < detail(shifts.blur(CHEST, 1)) < detail(CHEST)
    assert detail(shifts.sharpen(CHEST, 1)) > detail(shifts.sharpen(CHEST, 0.5)) > detail(CHEST)
    assert detail(shifts.resolution(CHEST, 50)) < detail(shifts.resolution(CHEST, 100)) < detail(CHEST)


@pytest.mark.parametrize("coarse", [False, True])
def test_noise_has_its_standard_deviation_and_differs_by_draw(coarse: bool) -> None:
    rng = np.random.default_rng(1)
    first, second = (shifts.noise(GREY, 10, rng, coarse).astype(float) - 128 for _ in range(2))
    assert first.std() == pytest.approx(10, rel=0.05)
    assert abs(first.mean()) < 0.5
    assert not np.array_equal(first, second)
    neighbours = float(np.corrcoef(first[:, 1:].ravel(), first[:, :-1].ravel())[0, 1])
    assert neighbours > 0.4 if coarse else abs(neighbours) < 0.05


def test_a_better_jpeg_is_nearer() -> None:
    def distance(quality: int) -> float:
        return float(np.abs(shifts.jpeg(CHEST, quality).astype(int) - CHEST).mean())

    assert distance(95) < distance(40) < distance(10)
