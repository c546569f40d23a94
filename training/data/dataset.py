"""A data folder as arrays: every file through the image contract, once, and cached by its content."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.bundle import LABELS, sha256
from contract.errors import ImageRefused
from contract.header import read_header
from contract.image import IMAGE_CONTRACT, SIDE, to_pixels
from training.data.folder import Radiograph
from training.data.sources import People, find_all, read_sources
from training.errors import DataError


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not trained on, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """The readable radiographs of a folder, row by row the same in each field.

    Attributes:
        radiographs: what each row is.
        pixels: uint8, shape (n, 200, 200, 1): the images as the network sees them, 0..255.
        digests: SHA-256 of each row of ``pixels``; equal digests are one picture under two names.
        sizes: how many files have which (width, height).
        skipped: the files that are not among the rows.
        people: who the populations are, by name; empty for a data folder of one.
    """

    radiographs: list[Radiograph]
    pixels: NDArray[np.uint8]
    digests: list[str]
    sizes: Counter[tuple[int, int]]
    skipped: list[Skipped]
    people: dict[str, People] = field(default_factory=dict)

    @property
    def labels(self) -> NDArray[np.uint8]:
        """uint8, shape (n,): 1 for PNEUMONIA."""
        return np.array([radiograph.label for radiograph in self.radiographs], np.uint8)

    @property
    def populations(self) -> NDArray[np.str_]:
        """Shape (n,): the population of each row; empty where it is not known."""
        return np.array([radiograph.population for radiograph in self.radiographs], np.str_)

    def of_population(self, name: str) -> "Dataset":
        """The rows of one population."""
        return self.rows(radiograph.name for radiograph in self.radiographs if radiograph.population == name)

    def by_population(self) -> dict[str, "Dataset"]:
        """The rows of each population by its name; the name of an only one may be empty."""
        return {str(name): self.of_population(str(name)) for name in np.unique(self.populations)}

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the sorted digests and labels: the same images give it again under any file names."""
        rows = sorted(
            f"{digest}:{radiograph.label}" for digest, radiograph in zip(self.digests, self.radiographs, strict=True)
        )
        return sha256("\n".join(rows).encode())

    def rows(self, names: Iterable[str]) -> "Dataset":
        """The rows of these names, in the order of the names.

        Raises:
            DataError: a name is not among them.
        """
        index = {radiograph.name: row for row, radiograph in enumerate(self.radiographs)}
        try:
            at = [index[name] for name in names]
        except KeyError as error:
            raise DataError(f"{error.args[0]}: named by the split, but not readable in the data folder") from None
        chosen = [self.radiographs[row] for row in at]
        return Dataset(chosen, self.pixels[at], [self.digests[row] for row in at], self.sizes, [], self.people)


def load_dataset(
    root: Path,
    cache: Path,
    progress: Callable[[int, int], object] | None = None,
    contract: int = IMAGE_CONTRACT,
) -> Dataset:
    """Decode a data folder, or take from the cache what was decoded before.

    Args:
        root: a data folder, or the file that lists several sources: see ``find_all``.
        cache: a folder for decoded pixels, 40 kB an image; made if it is not there.
        progress: called after each file with how many are done, and how many there are.
        contract: the image contract by which it is decoded.

    Raises:
        DataError: no such layout, no readable image of one of the classes, or no place for the cache.
    """
    files = find_all(root)
    kept: list[Radiograph] = []
    pixels = np.empty((len(files), SIDE, SIDE, 1), np.uint8)
    skipped: list[Skipped] = []
    sizes: Counter[tuple[int, int]] = Counter()
    for done, radiograph in enumerate(files, start=1):
        read = _read(radiograph.name, radiograph.path, cache, contract)
        if isinstance(read, Skipped):
            skipped.append(read)
        else:
            pixels[len(kept)], size = read
            sizes[size] += 1
            kept.append(radiograph)
        if progress:
            progress(done, len(files))
    pixels = pixels[: len(kept)]
    _refuse_an_empty_class(root, kept)
    people = read_sources(root).populations if root.is_file() else {}
    return Dataset(kept, pixels, [sha256(row.tobytes()) for row in pixels], sizes, skipped, people)


def _refuse_an_empty_class(root: Path, kept: list[Radiograph]) -> None:
    for label, title in enumerate(LABELS):
        if all(radiograph.label != label for radiograph in kept):
            raise DataError(f"{root}: no image of class {title} can be read")


def read_pictures(
    folder: Path, cache: Path, contract: int = IMAGE_CONTRACT
) -> tuple[NDArray[np.uint8], list[str], list[Skipped]]:
    """The images right in a folder, of whatever: uint8 (n, 200, 200, 1); their file names; and the unreadable."""
    paths = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    read = {path.name: _read(path.name, path, cache, contract) for path in paths}
    pixels = {name: found[0] for name, found in read.items() if not isinstance(found, Skipped)}
    skipped = [found for found in read.values() if isinstance(found, Skipped)]
    return np.array(list(pixels.values()), np.uint8).reshape(-1, SIDE, SIDE, 1), list(pixels), skipped


def _read(name: str, path: Path, cache: Path, contract: int) -> tuple[NDArray[np.uint8], tuple[int, int]] | Skipped:
    """The pixels and the (width, height) of one file, or why it has none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return Skipped(name, error.strerror or "cannot be read")
    try:
        header = read_header(data)
        return _cached_pixels(data, cache, contract), (header.width, header.height)
    except ImageRefused as refused:
        return Skipped(name, str(refused))
    except OSError as error:
        raise DataError(f"{cache}: cannot hold the decoded images ({error.strerror}); name another --cache") from None


def _cached_pixels(data: bytes, cache: Path, contract: int) -> NDArray[np.uint8]:
    digest = sha256(data)
    path = cache / f"contract-{contract}" / digest[:2] / f"{digest}.raw"
    if path.exists() and path.stat().st_size == SIDE * SIDE:
        return np.fromfile(path, np.uint8).reshape(SIDE, SIDE, 1)
    pixels = to_pixels(data, contract=contract)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_bytes(pixels.tobytes())
    partial.replace(path)  # a reader never sees half a file
    return pixels
