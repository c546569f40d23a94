"""Which images are sent and read in a measurement."""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.drawings import chest, encode

_DRAWN = 16
# Width and height of a middling full-size radiograph of those the bundled model was trained on.
_SIDES = (1300, 1000)


def add_images(parser: argparse.ArgumentParser) -> None:
    """Give a command the option."""
    help_ = "folder of JPEGs; without it, originals/ in XRAY_DATA, or where there is none, drawn ones"
    parser.add_argument("--images", type=Path, help=help_)


def find_images(folder: Path | None, scratch: Path) -> list[Path]:
    """The JPEGs of a folder, those in its folders too; without one, real originals or else drawn ones.

    Args:
        folder: what the option says.
        scratch: where drawn ones are written.

    Raises:
        SystemExit: the folder has none.
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
    return found
