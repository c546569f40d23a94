"""Acquisition shifts: what another machine, another operator or another file does to the same chest.

Pure functions on one image as the network sees it: uint8, shape (200, 200), 0 = black; the result has the same type and
shape, and the argument is left as it was. Each has parameters at which it changes nothing. Lengths and positions are
shares of the side, so that 0.1 is 20 pixels. A parameter out of its range raises ValueError.
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
# Noise twice as wide, bilinear: each pixel is a sum with weights 3/4 and 1/4 each way, so this is its deviation.
_COARSE_DEVIATION = 0.75**2 + 0.25**2


def gamma(pixels: Pixels, exponent: float) -> Pixels:
    """Exposure: 255 * (v / 255) ** exponent. Below 1 brightens, above 1 darkens; black and white stay. Over 0."""
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
    """Black for white, as some detectors store it (DICOM's MONOCHROME1)."""
    return 255 - pixels


def cdf(pixels: Pixels) -> Cdf:
    """The cumulative histogram: float64, shape (256,), share of pixels at or below each level."""
    return np.cumsum(np.bincount(pixels.ravel(), minlength=256)) / pixels.size


def match_histogram(pixels: Pixels, reference_cdf: Cdf, strength: float = 1) -> Pixels:
    """Give an image the grey levels of another (histogram specification: Gonzalez & Woods, Digital Image Processing).

    Args:
        pixels: see above.
        reference_cdf: of ``cdf``.
        strength: 0..1: how far each level moves to its match; 0 changes nothing.
    """
    _check(0 <= strength <= 1, "a match has a strength of 0 to 1")
    # The margin is for sums that differ in their last bit: a level must not miss its own match.
    target = np.searchsorted(reference_cdf, cdf(pixels) - 1e-9)
    return _mapped(pixels, strength * target + (1 - strength) * _LEVELS)


def equalise(pixels: Pixels) -> Pixels:
    """Spread the grey levels evenly over 0..255, as viewers and preprocessing often do."""
    return match_histogram(pixels, (_LEVELS + 1) / 256)


def affine(  # noqa: PLR0913  each is a way in which a patient lies otherwise
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
    """Another position of the patient, or another aspect ratio before squashing. About the centre, bilinear.

    Args:
        pixels: see above.
        rotation: degrees, clockwise as seen.
        zoom_x: over 0; above 1 widens.
        zoom_y: over 0; above 1 heightens.
        shift_x: share of the side, to the right.
        shift_y: share of the side, down.
        shear: how far a row moves to the right for each row further down, after zooming and before rotating.
        fill: the grey level of what comes in from outside, 0..255.
        flip: mirror left and right, first of all.
    """
    _check(zoom_x > 0 and zoom_y > 0, "zoom needs factors over 0")
    angle = np.deg2rad(rotation)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    back = np.linalg.inv(turn @ [[1, shear], [0, 1]] @ np.diag([-zoom_x if flip else zoom_x, zoom_y]))
    centre = np.full(2, SIDE / 2)
    origin = centre - back @ (centre + np.array([shift_x, shift_y]) * SIDE)
    # Pillow asks for the way back: where in the source each pixel of the result lies.
    coefficients = (back[0, 0], back[0, 1], origin[0], back[1, 0], back[1, 1], origin[1])
    image = Image.fromarray(pixels)
    return np.array(image.transform((SIDE, SIDE), Image.Transform.AFFINE, coefficients, _BILINEAR, fillcolor=fill))


def crop(pixels: Pixels, left: float, top: float, right: float, bottom: float) -> Pixels:
    """Cut these shares off the sides and squash the rest to full size again."""
    _check_margins(left, top, right, bottom)
    box = (left * SIDE, top * SIDE, SIDE - right * SIDE, SIDE - bottom * SIDE)
    return np.array(Image.fromarray(pixels).resize((SIDE, SIDE), _BILINEAR, box=box))


def collimate(  # noqa: PLR0913, PLR0917  four margins
    pixels: Pixels, left: float, top: float, right: float, bottom: float, value: int = 0
) -> Pixels:
    """Lay an even border of these widths and this grey level over the sides: a collimator's shadow."""
    _check_margins(left, top, right, bottom)
    result = np.full_like(pixels, value)
    seen = np.s_[int(top * SIDE) : SIDE - int(bottom * SIDE), int(left * SIDE) : SIDE - int(right * SIDE)]
    result[seen] = pixels[seen]
    return result


def erase(  # noqa: PLR0913, PLR0917  a rectangle and its grey
    pixels: Pixels, x: float, y: float, width: float, height: float, value: int = 0
) -> Pixels:
    """Lay an even rectangle of this grey level over the image; it may reach over the edge."""
    result = pixels.copy()
    left, top = int(x * SIDE), int(y * SIDE)
    result[max(top, 0) : max(top + int(height * SIDE), 0), max(left, 0) : max(left + int(width * SIDE), 0)] = value
    return result


def marker(  # noqa: PLR0913, PLR0917  where, what and how
    pixels: Pixels, text: str, x: float, y: float, size: int, value: int = 255
) -> Pixels:
    """Write a text on the image, as side markers and names of projections are.

    Args:
        pixels: see above.
        text: no text changes nothing.
        x: of the left edge of the text, a share of the side.
        y: of the top edge of the text.
        size: of the letters, in pixels.
        value: grey level, 0..255.
    """
    image = Image.fromarray(pixels.copy())
    ImageDraw.Draw(image).text((x * SIDE, y * SIDE), text, fill=value, font=_font(size))
    return np.array(image)


def blur(pixels: Pixels, sigma: float) -> Pixels:
    """Motion, or a large focal spot: a Gaussian of this deviation, pixels, 0 or more."""
    _check(sigma >= 0, "blur needs a deviation of 0 or more")
    return np.array(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(sigma)))


def sharpen(pixels: Pixels, amount: float) -> Pixels:
    """The edge enhancement of a viewer: so many times what a Gaussian of one pixel takes away is added. 0 or more."""
    _check(amount >= 0, "sharpen needs an amount of 0 or more")
    signal = pixels.astype(np.float32)
    return _levels(signal + amount * (signal - blur(pixels, 1)))


def noise(pixels: Pixels, sigma: float, rng: np.random.Generator, coarse: bool = False) -> Pixels:
    """Less dose: Gaussian noise.

    Args:
        pixels: see above.
        sigma: its standard deviation, grey levels, 0 or more.
        rng: decides which noise it is.
        coarse: grain of two pixels instead of one, as of a file that was enlarged.
    """
    _check(sigma >= 0, "noise needs a deviation of 0 or more")
    return _levels(pixels + np.float32(sigma) * _grain(rng, coarse))


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    """Store as a JPEG of this quality, 1 to 95, and read it again. No quality changes nothing at all."""
    _check(1 <= quality <= 95, "a JPEG has a quality of 1 to 95")
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=int(quality))
    return np.array(Image.open(file))


def resolution(pixels: Pixels, side: int) -> Pixels:
    """A smaller file: reduce to side x side pixels, 1 to 200, and enlarge again."""
    _check(1 <= side <= SIDE, f"a resolution is 1 to {SIDE}")
    small = Image.fromarray(pixels).resize((int(side), int(side)), _BILINEAR)
    return np.array(small.resize((SIDE, SIDE), _BILINEAR))


def _check(holds: bool, rule: str) -> None:
    if not holds:
        raise ValueError(rule)


def _check_margins(left: float, top: float, right: float, bottom: float) -> None:
    _check(min(left, top, right, bottom) >= 0, "margins are 0 or more")
    _check(left + right <= 0.9 and top + bottom <= 0.9, "margins leave at least a tenth of the image")


def _mapped(pixels: Pixels, levels: NDArray[np.floating]) -> Pixels:
    """Each grey level replaced by what stands for it in a table of 256."""
    return _levels(levels)[pixels]


def _levels(values: NDArray[np.floating]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _grain(rng: np.random.Generator, coarse: bool) -> NDArray[np.float32]:
    """Noise of mean 0 and deviation 1, shape (200, 200): a window of a fixed field, 70 times faster than a new draw."""
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
