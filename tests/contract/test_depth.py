"""Samples of 16 bits are scaled by the range that they are meant in, which a single one does not decide."""

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.image import decode, picture, to_pixels
from tests.cases.png import grey, of, transparent


def kept_in(bits: int) -> NDArray[np.uint16]:
    """The drawn radiograph in so many bits, unshifted, uint16."""
    return np.round(grey() / 255 * ((1 << bits) - 1)).astype(np.uint16)


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
@pytest.mark.parametrize("bits", [8, 10, 12, 13, 14, 16])
def test_detector_bits_are_read_as_bright_as_they_are(bits: int, colour: int) -> None:
    samples = kept_in(bits)
    channels = [samples] * (3 if colour & 2 else 1) + [np.full_like(samples, 65535)] * (colour >= 4)
    found = decode(of(np.stack(channels, -1), 16, colour))
    assert np.abs(found.pixels.astype(int) - to_pixels(of(grey()))).max() <= 1
    assert found.unclear_depth == (bits not in (12, 16))


def test_opaque_is_what_the_range_says() -> None:
    samples = kept_in(12)
    found = to_pixels(of(np.stack([samples, np.full_like(samples, 4095)], -1), 16, 4))
    assert np.abs(found.astype(int) - to_pixels(of(grey()))).max() <= 1


def test_one_sample_does_not_decide_and_is_told_of() -> None:
    samples = kept_in(12)
    samples[2, 2] = 4096
    found = decode(of(samples, 16))
    away = np.abs(found.pixels.astype(int) - to_pixels(of(kept_in(12), 16)))
    assert (away > 1).sum() <= 4
    assert found.unclear_depth


def test_letters_burnt_in_as_white_do_not_decide() -> None:
    samples = kept_in(12)
    samples[10:16, 10:20] = 65535  # 60 of 72 000 samples
    assert np.abs(decode(of(samples, 16)).pixels.astype(int) - to_pixels(of(grey())))[40:].max() <= 1


def test_what_is_transparent_does_not_decide() -> None:
    samples = kept_in(12)
    samples[:, :35] = 65535
    found = decode(of(samples, 16, 0, transparent(65535)), contract=1)
    assert not found.unclear_depth
    assert np.abs(found.pixels[:, 40:].astype(int) - to_pixels(of(grey()), contract=1)[:, 40:]).max() <= 1


def test_a_dark_picture_of_16_bits_stays_dark_and_is_told_of() -> None:
    found = decode(of(kept_in(15), 16))
    assert found.unclear_depth
    assert found.pixels.max() < 129


def test_black_is_black() -> None:
    assert np.asarray(picture(of(np.zeros((240, 300), np.uint16), 16), 300)).max() == 0
