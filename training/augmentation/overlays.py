"""Drawn overlays that carry no information about the lungs: texts, markers, lines, tubes, electrodes.

In hospitals they are correlated with disease: a portable radiograph of a bedridden patient says PORTABLE and shows
lines and tubes. A network that learns this fails at other hospitals, so in training any image may have them.
"""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from contract.image import SIDE

_TEXTS = (
    "L",
    "R",
    "l",
    "r",
    "R.",
    "AP",
    "PA",
    "PORT",
    "PORTABLE",
    "ERECT",
    "SUPINE",
    "SITTING",
    "A.P.",
    "MOBILE",
    "12:41",
)


def draw_overlays(count: int, seed: int) -> NDArray[np.uint8]:
    """Draw random masks to overlay on images, each with one to four objects anywhere.

    Args:
        count: number of masks.
        seed: the same seed draws the same masks.

    Returns:
        uint8 (count, 200, 200), from 0 (transparent) to 255 (opaque).
    """
    rng = np.random.default_rng(seed)
    return np.stack([_mask(rng) for _ in range(count)])


def _mask(rng: np.random.Generator) -> NDArray[np.uint8]:
    image = Image.new("L", (SIDE, SIDE))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(1, 5)):
        (_text, _text, _tube, _electrode, _arrow)[rng.integers(5)](draw, rng)
    softened = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 1))))
    return np.array(softened)


def _text(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    x, y = rng.uniform(0, 0.9 * SIDE, 2)
    if rng.random() < 0.7:  # mostly near an edge
        y = rng.choice([rng.uniform(0, 0.15), rng.uniform(0.85, 0.95)]) * SIDE
    font = ImageFont.load_default(int(rng.integers(7, 28)))
    draw.text((x, y), str(rng.choice(_TEXTS)), fill=int(rng.integers(150, 256)), font=font)


def _tube(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """Draw a smooth curve through the image: a Bezier curve with four random points."""
    points = rng.uniform(-0.1 * SIDE, 1.1 * SIDE, (4, 2))
    t = np.linspace(0, 1, 40)[:, np.newaxis]
    weights = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    path = [(float(x), float(y)) for x, y in weights @ points]
    draw.line(path, fill=int(rng.integers(40, 200)), width=int(rng.integers(1, 4)))


def _electrode(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """Draw a disc at the end of a cable."""
    x, y = (float(value) for value in rng.uniform(0.1 * SIDE, 0.9 * SIDE, 2))
    angle, radius = rng.uniform(0, 2 * math.pi), float(rng.uniform(2, 6))
    level = int(rng.integers(100, 256))
    draw.line([(x, y), (x + SIDE * math.cos(angle), y + SIDE * math.sin(angle))], fill=level // 2, width=1)
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=level)


def _arrow(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    x, y = (float(value) for value in rng.uniform(0.05 * SIDE, 0.95 * SIDE, 2))
    size, turn = float(rng.uniform(4, 12)), int(rng.choice([1, -1]))
    level = int(rng.integers(150, 256))
    draw.line([(x, y), (x, y + turn * 2 * size)], fill=level, width=2)
    draw.polygon(
        [(x - size / 2, y + turn * size / 2), (x + size / 2, y + turn * size / 2), (x, y - turn * size / 2)], level
    )
