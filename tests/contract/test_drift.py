"""Brightness and contrast of an image, and the reference they are compared with."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from contract.drift import DriftReference, brightness_and_contrast, quantiles

RISING = [level / 20 for level in range(21)]


@given(arrays(np.uint8, (200, 200, 1), elements=st.integers(0, 255)))
def test_brightness_is_the_mean_and_contrast_the_deviation(pixels: np.ndarray) -> None:
    brightness, contrast = brightness_and_contrast(pixels)
    assert brightness == pytest.approx(pixels.mean() / 255, abs=1e-5)
    assert contrast == pytest.approx(pixels.std() / 255, abs=1e-5)


@pytest.mark.parametrize(("grey", "brightness"), [(0, 0), (255, 1), (51, 0.2)])
def test_a_uniform_image_has_no_contrast(grey: int, brightness: float) -> None:
    assert brightness_and_contrast(np.full((200, 200, 1), grey, np.uint8)) == pytest.approx((brightness, 0))


def test_pixels_are_not_modified() -> None:
    pixels = np.arange(40_000, dtype=np.uint16).astype(np.uint8).reshape(200, 200, 1)
    before = pixels.copy()
    brightness_and_contrast(pixels)
    assert np.array_equal(pixels, before)


def test_quantiles_are_at_every_twentieth() -> None:
    assert quantiles(np.arange(101) / 100, 3) == tuple(RISING)


@pytest.mark.parametrize(
    "change",
    [
        {"brightness": RISING[:-1]},
        {"contrast": RISING[::-1]},
        {"probability": [*RISING[:-1], 1.5]},
        {"images": 0},
        {"sharpness": RISING},
    ],
)
def test_a_wrong_reference_is_refused(change: dict[str, Any]) -> None:
    right = {"measured_on": "drawn", "images": 5, "brightness": RISING, "contrast": RISING, "probability": RISING}
    assert DriftReference(**right).brightness == tuple(RISING)
    with pytest.raises(ValidationError):
        DriftReference(**right | change)
