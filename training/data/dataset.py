"""A data folder as arrays: each file is decoded once, by the image contract, and cached by its content."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.bundle import LABELS, sha256
from contract.errors import ImageRefused
from contract.header import is_dicom, read_header
from contract.image import IMAGE_CONTRACT, SIDE, to_pixels
from contract.io.files import write_file
from training.data import objects
from training.data.folder import Radiograph
from training.data.sources import People, find_all, read_sources
from training.errors import DataError


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was left out, and why. ``contradictory``: its image is in the data with the other label, too."""

    name: str
    reason: str
    contradictory: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """The readable radiographs of a folder. Row i of ``radiographs``, ``pixels`` and ``digests`` is the same image.

    Attributes:
        radiographs: file, class and patient of each row.
        pixels: uint8, shape (n, 200, 200, 1): the network's input, 0..255.
        digests: SHA-256 of each row of ``pixels``; equal digests mean one image under two names.
        sizes: number of files by (width, height).
        skipped: the files that could not be read, and those of images that have both labels.
        people: a description of each population by its name; empty for a data folder of one population.
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
        """SHA-256 over the sorted digests and labels; independent of file names and order."""
        rows = sorted(
            f"{digest}:{radiograph.label}" for digest, radiograph in zip(self.digests, self.radiographs, strict=True)
        )
        return sha256("\n".join(rows).encode())

    def rows(self, names: Iterable[str]) -> "Dataset":
        """Select rows by name, in the order given.

        Raises:
            DataError: the dataset has no row of that name.
        """
        index = {radiograph.name: row for row, radiograph in enumerate(self.radiographs)}
        try:
            at = [index[name] for name in names]
        except KeyError as error:
            raise DataError(
                f"{error.args[0]}: the split names this image, but the data folder has no readable file of that name"
            ) from None
        chosen = [self.radiographs[row] for row in at]
        return Dataset(chosen, self.pixels[at], [self.digests[row] for row in at], self.sizes, [], self.people)


def load_dataset(
    root: Path,
    cache: Path,
    progress: Callable[[int, int], object] | None = None,
    contract: int = IMAGE_CONTRACT,
) -> Dataset:
    """Decode a data folder; files decoded before come from the cache. What is left out is in ``skipped``.

    Args:
        root: a data folder, or the file that lists several sources: see ``find_all``.
        cache: folder for decoded pixels, 40 kB per image; created if missing.
        progress: called after each file with the number of files done and the total.
        contract: the image contract to decode by.

    Raises:
        DataError: the folder has no known layout, a class has no readable image, or the cache cannot be written.
    """
    files = find_all(root)
    kept: list[Radiograph] = []
    pixels = np.empty((len(files), SIDE, SIDE, 1), np.uint8)
    skipped: list[Skipped] = []
    sizes: list[tuple[int, int]] = []
    for done, radiograph in enumerate(files, start=1):
        read = _read(radiograph.name, radiograph.path, cache, contract, frontal=True)
        if isinstance(read, Skipped):
            skipped.append(read)
        else:
            pixels[len(kept)], size = read
            sizes.append(size)
            kept.append(radiograph)
        if progress:
            progress(done, len(files))
    pixels = pixels[: len(kept)]
    digests = [sha256(row.tobytes()) for row in pixels]
    contradictory = _contradictory(kept, digests)
    if contradictory:
        rows = [row for row in range(len(kept)) if row not in contradictory]
        skipped = [*contradictory.values(), *skipped]
        pixels = pixels[rows]
        kept, sizes = [kept[row] for row in rows], [sizes[row] for row in rows]
        digests = [digests[row] for row in rows]
    _refuse_an_empty_class(root, kept)
    people = read_sources(root).populations if root.is_file() else {}
    return Dataset(kept, pixels, digests, Counter(sizes), skipped, people)


def _contradictory(radiographs: list[Radiograph], digests: list[str]) -> dict[int, Skipped]:
    """By row, what is left out because its image has the other label, too: nobody knows which of them is right."""
    first: dict[tuple[str, int], str] = {}
    for radiograph, digest in zip(radiographs, digests, strict=True):
        first.setdefault((digest, radiograph.label), radiograph.name)
    found = {}
    for row, (radiograph, digest) in enumerate(zip(radiographs, digests, strict=True)):
        if other := first.get((digest, 1 - radiograph.label)):
            reason = f"the same image as {other}, with the other label"
            found[row] = Skipped(radiograph.name, reason, contradictory=True)
    return found


def _refuse_an_empty_class(root: Path, kept: list[Radiograph]) -> None:
    for label, title in enumerate(LABELS):
        if all(radiograph.label != label for radiograph in kept):
            raise DataError(f"{root}: none of the images of class {title} can be read")


def read_images(
    folder: Path, cache: Path, contract: int = IMAGE_CONTRACT
) -> tuple[NDArray[np.uint8], list[str], list[Skipped]]:
    """Read the images directly in a folder, of any content and without classes.

    Returns:
        pixels uint8 (n, 200, 200, 1), the n file names, and the files that could not be read.
    """
    paths = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    read = {path.name: _read(path.name, path, cache, contract, frontal=False) for path in paths}
    pixels = {name: found[0] for name, found in read.items() if not isinstance(found, Skipped)}
    skipped = [found for found in read.values() if isinstance(found, Skipped)]
    return np.array(list(pixels.values()), np.uint8).reshape(-1, SIDE, SIDE, 1), list(pixels), skipped


def _read(
    name: str, path: Path, cache: Path, contract: int, *, frontal: bool
) -> tuple[NDArray[np.uint8], tuple[int, int]] | Skipped:
    """Decode one file to pixels and (width, height), or say why that is impossible; see ``objects.decode``."""
    try:
        name.encode()
        data = path.read_bytes()
    except UnicodeEncodeError:  # it could not be written into the files of a run
        return Skipped(name.encode(errors="backslashreplace").decode(), "its name is not in UTF-8")
    except OSError as error:
        return Skipped(name, error.strerror or "cannot be read")
    try:
        if is_dicom(data):
            kind = f"contract-{contract}{'' if frontal else '-any'}"
            return _cached(
                data, cache / kind, lambda: objects.decode(data, contract, frontal=frontal)
            ), objects.size_of(data)
        header = read_header(data)
        pixels = _cached(data, cache / f"contract-{contract}", lambda: to_pixels(data, contract=contract))
        return pixels, (header.width, header.height)
    except ImageRefused as refused:
        return Skipped(name, str(refused))
    except OSError as error:
        raise DataError(
            f"{cache}: decoded images cannot be cached here ({error.strerror}); choose another folder with --cache"
        ) from None


def _cached(data: bytes, folder: Path, decode: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The pixels of a file from the cache, or decoded and cached."""
    digest = sha256(data)
    path = folder / digest[:2] / f"{digest}.raw"
    if path.exists() and path.stat().st_size == SIDE * SIDE:
        return np.fromfile(path, np.uint8).reshape(SIDE, SIDE, 1)
    pixels = decode()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, pixels.tobytes(), durable=False)
    return pixels
