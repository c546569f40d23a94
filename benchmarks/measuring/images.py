"""The images that a benchmark uses."""

import argparse
import itertools
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.drawings import chest, encode

_DRAWN = 16
_SEED = 1
# Width and height of a typical full-size radiograph of the training data.
_SIDES = (1300, 1000)


def add_images(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--images``."""
    help_ = "folder of JPEGs; default: originals/ in XRAY_DATA, or generated images if XRAY_DATA is not set"
    parser.add_argument("--images", type=Path, help=help_)


def find_images(folder: Path | None, scratch: Path) -> list[Path]:
    """The JPEGs in a folder and its subfolders; without a folder, those of XRAY_DATA or else generated ones.

    In an order of chance that is always the same: by name, all NORMAL ones come first, which are larger, and whoever
    measures a moment measures these.

    Args:
        folder: the value of the option.
        scratch: where generated images are written.

    Raises:
        SystemExit: the folder contains no JPEG.
    """
    if folder is None and (data := os.environ.get("XRAY_DATA")):
        folder = Path(data) / "originals"
    if folder is None:
        for seed in range(_DRAWN):
            (scratch / f"{seed}.jpeg").write_bytes(encode(chest(seed, *_SIDES)))
        folder = scratch
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"})
    if not found:
        raise SystemExit(f"no JPEG in {folder}")
    random.Random(_SEED).shuffle(found)
    return found


def endless(images: Sequence[bytes], caller: int, callers: int) -> Iterator[bytes]:
    """The images over and over; each of the callers, from 0, begins at another one."""
    return itertools.islice(itertools.cycle(images), caller * len(images) // callers, None)
