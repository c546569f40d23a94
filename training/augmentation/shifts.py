"""Acquisition shifts: how the image of the same chest changes with the machine, the operator or the file format.

Pure functions on one image as the network gets it: uint8, shape (200, 200), 0 = black. The result has the same type and
shape; the argument is not modified. Each function has parameters at which it changes nothing. Lengths and positions are
fractions of the side, so that 0.1 is 20 pixels. A parameter out of its range raises ValueError.
"""

import io
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from contract.image import SIDE

Pixels = NDArray[np.uint8]
Cdf = NDArray[np.float64]

_LEVELS = np.arange(256)
_BILINEAR = Image.Resampling.BILINEAR
# Bilinear enlargement by 2 weighs neighbours by 3/4 and 1/4 in each direction: the standard deviation that is left.
_COARSE_DEVIATION = 0.75**2 + 0.25**2


def gamma(pixels: Pixels, exponent: float) -> Pixels:
    """Exposure: 255 * (v / 255) ** exponent. Below 1 brightens, above 1 darkens; black and white stay.

    ``exponent`` must be above 0.
    """
    _check(exponent > 0, "gamma needs an exponent over 0")
    return _mapped(pixels, 255 * (_LEVELS / 255) ** exponent)


def contrast(pixels: Pixels, factor: float, offset: float = 0) -> Pixels:
    """Stretch about the middle grey and add: (v - 127.5) * factor + 127.5 + offset, cut off at 0 and 255.

    Args:
        pixels: see above.
        factor: 0 or more; 1 changes nothing.
        offset: grey levels.
    """
    _check(factor >= 0, "contrast needs a factor of 0 or more")
    return _mapped(pixels, (_LEVELS - 127.5) * factor + 127.5 + offset)


def invert(pixels: Pixels) -> Pixels:
    """Swap black and white, as some detectors store images (DICOM's MONOCHROME1)."""
    return 255 - pixels


def cdf(pixels: Pixels) -> Cdf:
    """The cumulative histogram: float64, shape (256,), fraction of pixels at or below each grey level."""
    return np.cumsum(np.bincount(pixels.ravel(), minlength=256)) / pixels.size


def match_histogram(pixels: Pixels, reference_cdf: Cdf, strength: float = 1) -> Pixels:
    """Give an image the grey levels of another (histogram specification: Gonzalez & Woods, Digital Image Processing).

    Args:
        pixels: see above.
        reference_cdf: of ``cdf``.
        strength: 0..1: how far each level moves towards its match; 0 changes nothing.
    """
    _check(0 <= strength <= 1, "match_histogram needs a strength of 0 to 1")
    # The margin absorbs rounding in the last bit of the sums: a level must match itself.
    target = np.searchsorted(reference_cdf, cdf(pixels) - 1e-9)
    return _mapped(pixels, strength * target + (1 - strength) * _LEVELS)


def equalise(pixels: Pixels) -> Pixels:
    """Spread the grey levels evenly over 0..255, as viewers and preprocessing often do."""
    return match_histogram(pixels, (_LEVELS + 1) / 256)


def affine(  # noqa: PLR0913  each parameter is one way in which a patient's position differs
    pixels: Pixels,
    *,
    rotation: float = 0,
    zoom_x: float = 1,
    zoom_y: float = 1,
    shift_x: float = 0,
    shift_y: float = 0,
    shear: float = 0,
    fill: int = 0,
    flip: bool = False,
) -> Pixels:
    """Change the patient's position, or the aspect ratio before squashing. About the centre, bilinear.

    Args:
        pixels: see above.
        rotation: degrees, clockwise on the screen.
        zoom_x: above 0; above 1 widens.
        zoom_y: above 0; above 1 makes taller.
        shift_x: fraction of the side, to the right.
        shift_y: fraction of the side, down.
        shear: how far a row moves to the right for each row further down, after zooming and before rotating.
        fill: the grey level of areas that the source image does not cover, 0..255.
        flip: mirror left and right, before everything else.
    """
    _check(zoom_x > 0 and zoom_y > 0, "zoom needs factors above 0")
    angle = np.deg2rad(rotation)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    back = np.linalg.inv(turn @ [[1, shear], [0, 1]] @ np.diag([-zoom_x if flip else zoom_x, zoom_y]))
    centre = np.full(2, SIDE / 2)
    origin = centre - back @ (centre + np.array([shift_x, shift_y]) * SIDE)
    # Pillow expects the inverse transform: where in the source each pixel of the result lies.
    coefficients = (back[0, 0], back[0, 1], origin[0], back[1, 0], back[1, 1], origin[1])
    image = Image.fromarray(pixels)
    return np.array(image.transform((SIDE, SIDE), Image.Transform.AFFINE, coefficients, _BILINEAR, fillcolor=fill))


def crop(pixels: Pixels, left: float, top: float, right: float, bottom: float) -> Pixels:
    """Cut these fractions off the sides and resize the rest to full size."""
    _check_margins(left, top, right, bottom)
    box = (left * SIDE, top * SIDE, SIDE - right * SIDE, SIDE - bottom * SIDE)
    return np.array(Image.fromarray(pixels).resize((SIDE, SIDE), _BILINEAR, box=box))


def collimate(  # noqa: PLR0913, PLR0917  four margins
    pixels: Pixels, left: float, top: float, right: float, bottom: float, value: int = 0
) -> Pixels:
    """Cover the sides with a uniform border of these widths and this grey level, as a collimator's shadow does."""
    _check_margins(left, top, right, bottom)
    result = np.full_like(pixels, value)
    exposed = np.s_[int(top * SIDE) : SIDE - int(bottom * SIDE), int(left * SIDE) : SIDE - int(right * SIDE)]
    result[exposed] = pixels[exposed]
    return result


def erase(  # noqa: PLR0913, PLR0917  a rectangle and its grey
    pixels: Pixels, x: float, y: float, width: float, height: float, value: int = 0
) -> Pixels:
    """Cover a rectangle with a uniform grey level. The rectangle may extend beyond the image."""
    result = pixels.copy()
    left, top = int(x * SIDE), int(y * SIDE)
    result[max(top, 0) : max(top + int(height * SIDE), 0), max(left, 0) : max(left + int(width * SIDE), 0)] = value
    return result


def marker(  # noqa: PLR0913, PLR0917  where, what and how
    pixels: Pixels, text: str, x: float, y: float, size: int, value: int = 255
) -> Pixels:
    """Write a text on the image, like a side marker or the name of a projection.

    Args:
        pixels: see above.
        text: an empty text changes nothing.
        x: left edge of the text, a fraction of the side.
        y: top edge of the text, a fraction of the side.
        size: height of the letters, pixels.
        value: grey level, 0..255.
    """
    image = Image.fromarray(pixels.copy())
    ImageDraw.Draw(image).text((x * SIDE, y * SIDE), text, fill=value, font=_font(size))
    return np.array(image)


def blur(pixels: Pixels, sigma: float) -> Pixels:
    """Motion, or a large focal spot: a Gaussian of this standard deviation in pixels, 0 or more."""
    _check(sigma >= 0, "blur needs a standard deviation of 0 or more")
    return np.array(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(sigma)))


def sharpen(pixels: Pixels, amount: float) -> Pixels:
    """The edge enhancement of a viewer (unsharp masking with a Gaussian of one pixel). ``amount`` is 0 or more."""
    _check(amount >= 0, "sharpen needs an amount of 0 or more")
    signal = pixels.astype(np.float32)
    return _levels(signal + amount * (signal - blur(pixels, 1)))


def noise(pixels: Pixels, sigma: float, rng: np.random.Generator, coarse: bool = False) -> Pixels:
    """A lower dose: Gaussian noise.

    Args:
        pixels: see above.
        sigma: standard deviation, grey levels, 0 or more.
        rng: source of the noise.
        coarse: grain of two pixels instead of one, as in an enlarged image.
    """
    _check(sigma >= 0, "noise needs a standard deviation of 0 or more")
    return _levels(pixels + np.float32(sigma) * _grain(rng, coarse))


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    """Encode as a JPEG of this quality, 1 to 95, and decode it. Every quality changes some pixels."""
    _check(1 <= quality <= 95, "jpeg needs a quality of 1 to 95")
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=int(quality))
    return np.array(Image.open(file))


def resolution(pixels: Pixels, side: int) -> Pixels:
    """Reduce to side x side pixels, 1 to 200, and enlarge again."""
    _check(1 <= side <= SIDE, f"resolution needs a side of 1 to {SIDE}")
    small = Image.fromarray(pixels).resize((int(side), int(side)), _BILINEAR)
    return np.array(small.resize((SIDE, SIDE), _BILINEAR))


def _check(holds: bool, rule: str) -> None:
    if not holds:
        raise ValueError(rule)


def _check_margins(left: float, top: float, right: float, bottom: float) -> None:
    _check(min(left, top, right, bottom) >= 0, "margins must be 0 or more")
    _check(left + right <= 0.9 and top + bottom <= 0.9, "margins must leave at least a tenth of the image")


def _mapped(pixels: Pixels, levels: NDArray[np.floating]) -> Pixels:
    """Replace each grey level by its entry in a table of 256."""
    return _levels(levels)[pixels]


def _levels(values: NDArray[np.floating]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _grain(rng: np.random.Generator, coarse: bool) -> NDArray[np.float32]:
    """Noise of mean 0 and standard deviation 1, shape (200, 200).

    It is a window of a fixed field, which is 70 times faster than drawing new numbers.
    """
    side = SIDE // 2 if coarse else SIDE
    y, x = rng.integers(0, 2 * SIDE - side + 1, 2)
    window = _noise_field()[y : y + side, x : x + side]
    if not coarse:
        return window
    enlarged = np.asarray(Image.fromarray(window).resize((SIDE, SIDE), _BILINEAR), np.float32)
    return enlarged / np.float32(_COARSE_DEVIATION)


@cache
def _noise_field() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((2 * SIDE, 2 * SIDE), np.float32)


@cache
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
