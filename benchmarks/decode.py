"""Compares decoders: CPU time from a JPEG to the 200 x 200 grey pixels of the network, and differences of the pixels.

    python benchmarks/decode.py [--images FOLDER] [--rounds 7]

Measured in turn: the contract (Pillow at a reduced DCT scale, directly to grey); Pillow at full scale; and, if they are
installed (they are not dependencies of this project), simplejpeg and OpenCV at the scale of the contract. All except
Pillow at full scale end with the last step of the contract, ``squash``. Prints JSON: CPU milliseconds per file, also
relative to the contract in the same round; the differences from the contract's pixels; and how many files differ.
"""

import argparse
import importlib.util
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring.images import add_images, find_images
from benchmarks.measuring.machine import machine
from benchmarks.peers.work import Pixels, decode_full
from contract.header import read_header
from contract.image import SIDE, squash, to_pixels

Decode = Callable[[bytes], Pixels]
_SCALES = (8, 4, 2, 1)


def reduction(data: bytes) -> int:
    """The contract's scale: the largest divisor of both sides that leaves them at least twice ``SIDE``."""
    header = read_header(data)
    return next(scale for scale in _SCALES if min(header.width, header.height) // scale >= 2 * SIDE or scale == 1)


def simplejpeg_decoder() -> Decode:
    """simplejpeg, a direct interface to libjpeg-turbo."""
    import simplejpeg  # type: ignore[import-not-found]

    def decode(data: bytes) -> Pixels:
        least = 2 * SIDE
        grey: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data, "GRAY", min_height=least, min_width=least, min_factor=1 / 8
        )
        return squash(Image.fromarray(grey[..., 0]))

    return decode


def opencv_decoder() -> Decode:
    """OpenCV, single-threaded."""
    import cv2  # type: ignore[import-not-found]

    cv2.setNumThreads(1)
    flags = {
        1: 0,
        2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
        4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
        8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    }

    def decode(data: bytes) -> Pixels:
        mode = flags[reduction(data)] | cv2.IMREAD_IGNORE_ORIENTATION
        return squash(Image.fromarray(cv2.imdecode(np.frombuffer(data, np.uint8), mode)))

    return decode


def decoders() -> dict[str, Decode]:
    """The decoders: the contract first, then the others that are installed."""
    found: dict[str, Decode] = {"contract": to_pixels, "Pillow, in full": decode_full}
    for module, make in (("simplejpeg", simplejpeg_decoder), ("cv2", opencv_decoder)):
        if importlib.util.find_spec(module):
            found[module] = make()
    return found


def cpu_ms(decode: Decode, files: Sequence[bytes]) -> float:
    """CPU milliseconds per file."""
    began = time.thread_time()
    for data in files:
        decode(data)
    return 1e3 * (time.thread_time() - began) / len(files)


def differences(decode: Decode, files: Sequence[bytes]) -> dict[str, Any]:
    """Differences between a decoder's pixels and the contract's, in grey levels (0 to 255)."""
    apart = [np.abs(decode(data).astype(int) - to_pixels(data)) for data in files]
    return {
        "mean_levels": round(float(np.mean([each.mean() for each in apart])), 4),
        "worst_levels": int(max(each.max() for each in apart)),
        "files_that_differ": sum(bool(each.any()) for each in apart),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_images(parser)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        files = [path.read_bytes() for path in find_images(given.images, Path(scratch))]
    files = [data for data in files if data.startswith(b"\xff\xd8")]
    known = decoders()
    took: dict[str, list[float]] = {name: [] for name in known}
    for _ in range(given.rounds):
        for name, decode in known.items():
            took[name].append(cpu_ms(decode, files))
    figures = {
        name: {
            "cpu_ms": round(statistics.median(found), 2),
            "over_contract": round(statistics.median(a / b for a, b in zip(found, took["contract"], strict=True)), 3),
            **differences(known[name], files),
        }
        for name, found in took.items()
    }
    mean_bytes = round(sum(map(len, files)) / len(files))
    print(json.dumps({**machine(), "images": len(files), "mean_bytes": mean_bytes, "decoders": figures}, indent=2))


if __name__ == "__main__":
    main()
