"""Changes of a radiograph from one hospital to the next, as tensor operations on a whole batch.

Each function takes images float32 (n, 200, 200, 1), 0..255, and the batch's random numbers, and returns images of the
same shape. ``shifts`` has the same kinds for one image, without a tensor library.
"""

from typing import Any

import numpy as np
from keras import ops

from contract.image import SIDE

Tensor = Any  # Keras ships no types for its tensors
_KNOTS = 64
# The luminance table of ITU-T T.81, annex K.1.
_QUANTISATION = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)


class Draws:
    """The random numbers of a batch; each is used once. Except for ``index``, results have shape (n, 1, 1, 1)."""

    def __init__(self, numbers: Tensor) -> None:
        self._numbers, self._used = numbers, 0

    def between(self, low: float, high: float) -> Tensor:
        """Uniformly distributed between the two."""
        return ops.reshape(low + (high - low) * self._next(), (-1, 1, 1, 1))

    def chance(self, share: float) -> Tensor:
        """1.0 with this probability, otherwise 0.0."""
        return ops.reshape(ops.cast(self._next() < share, "float32"), (-1, 1, 1, 1))

    def index(self, count: int) -> Tensor:
        """int32 (n,), 0 to count - 1."""
        return ops.cast(ops.minimum(self._next() * count, count - 1), "int32")

    def _next(self) -> Tensor:
        self._used += 1
        return self._numbers[:, self._used - 1]


def position(image: Tensor, draws: Draws) -> Tensor:
    """Vary the patient's position, size and aspect ratio; half of the images are mirrored."""
    angle = draws.between(-0.22, 0.22)
    flip = 1 - 2 * draws.chance(0.5)
    both = draws.between(-0.18, 0.18)
    wide, high = ops.exp(both + draws.between(-0.14, 0.14)) * flip, ops.exp(both + draws.between(-0.1, 0.1))
    shear = draws.between(-0.1, 0.1)
    shifts = [(draws.between(-0.1, 0.1) * SIDE) for _ in range(2)]
    cos, sin = ops.cos(angle), ops.sin(angle)
    # The inverse of (zoom, shear, rotation): from a pixel of the result to its place in the source.
    a, b = (cos - shear * -sin) / wide, (sin - shear * cos) / wide
    c, d = -sin / high, cos / high
    half = (SIDE - 1) / 2
    across, down = (half + shift for shift in shifts)
    columns = [a, b, half - a * across - b * down, c, d, half - c * across - d * down, 0 * a, 0 * a]
    transform = ops.concatenate([ops.reshape(column, (-1, 1)) for column in columns], axis=1)
    fill = draws.chance(0.5) * draws.between(0, 70)
    moved = ops.image.affine_transform(
        image - fill, transform, interpolation="bilinear", fill_mode="constant", data_format="channels_last"
    )
    return moved + fill


def match(image: Tensor, reference: Tensor, draws: Draws) -> Tensor:
    """Give half of the images the grey levels of another image, with a table of 64 knots."""
    knots = ops.cast(np.linspace(0, 255, _KNOTS), "float32")
    sample = ops.reshape(image[:, 2::5, 2::5], (-1, 1, (SIDE // 5) ** 2))
    share = ops.mean(ops.cast(sample <= knots[:, None], "float32"), axis=2)
    target = ops.sum(ops.cast(reference[:, None, :] < share[:, :, None] - 1e-4, "float32"), axis=2)
    strength = ops.reshape(draws.chance(0.5) * draws.between(0.4, 1), (-1, 1))
    table = strength * target + (1 - strength) * knots
    place = ops.reshape(ops.clip(image, 0, 255), (-1, SIDE * SIDE)) * ((_KNOTS - 1) / 255)
    below = ops.minimum(ops.floor(place), _KNOTS - 2)
    low, high = (ops.take_along_axis(table, ops.cast(below + step, "int32"), axis=1) for step in (0, 1))
    return ops.reshape(low + (place - below) * (high - low), (-1, SIDE, SIDE, 1))


def tone(image: Tensor, draws: Draws) -> Tensor:
    """Vary exposure, contrast, and the processing that equalises or emphasises large regions."""
    exponent = ops.exp(draws.chance(0.6) * draws.between(-0.6, 0.6))
    image = 255 * ops.power(ops.clip(image / 255, 1e-4, 1), exponent)
    regions = ops.average_pool(image, 25, strides=25, data_format="channels_last")
    regions = ops.image.resize(regions, (SIDE, SIDE), data_format="channels_last")
    evened = draws.chance(0.4) * draws.between(-0.3, 0.7)
    image = image - evened * (regions - ops.mean(image, axis=(1, 2, 3), keepdims=True))
    some = draws.chance(0.6)
    factor, offset = ops.exp(some * draws.between(-0.5, 0.35)), some * draws.between(-45, 45)
    return ops.clip((image - 127.5) * factor + 127.5 + offset, 0, 255)


def sharpness(image: Tensor, draws: Draws) -> Tensor:
    """Blur, sharpen, reduce the resolution, or change nothing."""
    little, much = _blurred(image, 1.0), _blurred(image, 2.4)
    small = ops.image.resize(image, (72, 72), antialias=True, data_format="channels_last")
    small = ops.image.resize(small, (SIDE, SIDE), data_format="channels_last")
    kind, degree = draws.between(0, 1), draws.between(0, 1)
    chosen = [ops.cast((kind >= low) & (kind < high), "float32") * degree for low, high in _SHARPNESS]
    return (
        image
        + chosen[0] * (little - image)
        + chosen[1] * (much - image)
        + chosen[2] * (small - image)
        + chosen[3] * 1.6 * (image - little)
    )


# Ranges of a number in 0..1: slight blur, strong blur, reduced resolution, sharpening.
_SHARPNESS = ((0.0, 0.15), (0.15, 0.4), (0.4, 0.55), (0.55, 0.75))


def _blurred(image: Tensor, sigma: float) -> Tensor:
    reach = int(3 * sigma)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2).astype(np.float32)
    weights /= weights.sum()
    padded = ops.pad(image, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    for kernel in (weights.reshape(-1, 1, 1, 1), weights.reshape(1, -1, 1, 1)):
        padded = ops.conv(padded, ops.convert_to_tensor(kernel), padding="valid", data_format="channels_last")
    return padded


def jpeg(image: Tensor, draws: Draws) -> Tensor:
    """Encode and decode 40 % of the images as a JPEG of quality 12 to 80."""
    blocks = SIDE // 8
    place, frequency = np.arange(8), np.arange(8)[:, np.newaxis]
    basis = np.sqrt(np.where(frequency == 0, 1, 2) / 8) * np.cos((2 * place + 1) * frequency * np.pi / 16)
    basis = ops.convert_to_tensor(basis.astype(np.float32))
    quality = draws.between(12, 80)
    scale = ops.where(quality < 50, 50 / quality, 2 - quality / 50)
    table = ops.maximum(ops.convert_to_tensor(_QUANTISATION) * scale[..., None], 1.0)
    tiles = ops.transpose(ops.reshape(image, (-1, blocks, 8, blocks, 8)), (0, 1, 3, 2, 4))
    found = ops.matmul(ops.matmul(basis, tiles - 128), ops.transpose(basis))
    kept = ops.round(found / table) * table
    tiles = ops.matmul(ops.matmul(ops.transpose(basis), kept), basis) + 128
    stored = ops.reshape(ops.transpose(tiles, (0, 1, 3, 2, 4)), (-1, SIDE, SIDE, 1))
    return image + draws.chance(0.4) * (ops.clip(stored, 0, 255) - image)


def covered(image: Tensor, draws: Draws) -> Tensor:
    """Cover some edges with a collimator's shadow or uniform border, and other areas with uniform rectangles."""
    place = ops.cast((np.arange(SIDE) + 0.5) / SIDE, "float32")
    across, down = ops.reshape(place, (1, 1, SIDE, 1)), ops.reshape(place, (1, SIDE, 1, 1))
    some = draws.chance(0.3)
    left, top, right, bottom = (some * draws.chance(0.5) * draws.between(0, 0.14) for _ in range(4))
    shadow = (across < left) | (across > 1 - right) | (down < top) | (down > 1 - bottom)
    level = draws.between(0, 30) + draws.chance(0.08) * 225
    image = ops.where(shadow, level, image)
    for _ in range(2):
        x, y, width, height = (draws.between(*span) for span in ((0, 0.8), (0, 0.8), (0.05, 0.25), (0.05, 0.25)))
        size = draws.chance(0.2)
        inside = (across > x) & (across < x + size * width) & (down > y) & (down < y + height)
        image = ops.where(inside, draws.between(0, 255), image)
    return image
