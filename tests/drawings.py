"""The images that tests need, drawn here: none is a radiograph of a person."""

import io
import struct
import zlib
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def chest(seed: int = 0, width: int = 400, height: int = 320, opacity: float = 0.0) -> NDArray[np.uint8]:
    """Something like a frontal chest radiograph: a bright body, two dark lungs, noise.

    Args:
        seed: determines position and noise.
        width: pixels.
        height: pixels.
        opacity: brightness of a consolidation in the left half of the image, 0..1.

    Returns:
        uint8 (height, width); a copy, since many tests draw the same.
    """
    return _drawn(seed, width, height, opacity).copy()


@lru_cache(maxsize=32)
def _drawn(seed: int, width: int, height: int, opacity: float) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    x, y = x + rng.normal(0, 0.05), y + rng.normal(0, 0.05)
    body = 150 * np.exp(-((x / 0.9) ** 4) - (y / 1.2) ** 6)
    lungs = sum(np.exp(-(((x - side) / 0.25) ** 2) - (y / 0.55) ** 2) for side in (-0.42, 0.42))
    patch = np.exp(-(((x + 0.42) / 0.16) ** 2) - ((y - 0.2) / 0.18) ** 2)
    grey = body - 100 * lungs + 130 * opacity * patch + rng.normal(0, 4, x.shape) + 20
    pixels: NDArray[np.uint8] = np.clip(grey, 0, 255).astype(np.uint8)
    return pixels


def encode(pixels: NDArray[Any] | Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """Encode pixels as a file."""
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(seed: int = 0, **options: Any) -> bytes:
    """A drawn radiograph as a JPEG."""
    return encode(chest(seed), "JPEG", **options)


def png(seed: int = 0, **options: Any) -> bytes:
    """A drawn radiograph as a PNG."""
    return encode(chest(seed), "PNG", **options)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
