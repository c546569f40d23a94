"""Images a model was not made for: what it says to them, and whether the input guard notices."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from contract.bundle import FEATURES, InputGuard, Measured
from contract.guard import distance
from contract.image import IMAGE_CONTRACT
from training.data.dataset import Skipped, read_pictures
from training.errors import DataError
from training.evaluation.assess import graph_output, graph_predict
from training.evaluation.evaluate import in_batches
from training.evaluation.metrics import Scores, share


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Images of one kind.

    Attributes:
        kind: in words.
        pixels: uint8 (n, 200, 200, 1).
        patient: shape (n,): rows of one value are one patient's.
        skipped: files of that kind that cannot be read.
    """

    kind: str
    pixels: NDArray[np.uint8]
    patient: NDArray[np.str_]
    skipped: tuple[Skipped, ...] = ()


class Group(BaseModel):
    """What was said to images of one kind. ``flagged`` and ``scores`` are of the guard; without one, null and empty."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    images: int
    called_pneumonia: Measured
    flagged: Measured | None
    scores: tuple[float, ...]


def find_pictures(folder: Path, cache: Path, contract: int = IMAGE_CONTRACT) -> list[Pictures]:
    """The images of each folder below this one, or of this one where it has none below.

    Raises:
        DataError: no image of a folder can be read.
    """
    below = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    found = []
    for kind in below or [folder]:
        pixels, names, skipped = read_pictures(kind, cache, contract)
        if not names:
            raise DataError(f"{kind}: no image here can be read")
        found.append(Pictures(kind.name, pixels, np.array(names), tuple(skipped)))
    return found


def ask(graph: bytes, pictures: Pictures, threshold: float, guard: InputGuard | None) -> Group:
    """What a graph says to images of one kind.

    Args:
        graph: of a bundle.
        pictures: the images.
        threshold: PNEUMONIA from here on, 0..1.
        guard: the bundle's, if it has one.
    """
    probability = in_batches(graph_predict(graph), pictures.pixels)
    scores = np.empty(0)
    if guard:
        scores = distance(in_batches(graph_output(graph, FEATURES), pictures.pixels), guard)
    people = Scores(probability.astype(np.float64), np.zeros(len(probability), np.uint8), pictures.patient)
    return Group(
        kind=pictures.kind,
        images=len(probability),
        called_pneumonia=share(people, probability >= threshold),
        flagged=share(people, scores > guard.threshold) if guard else None,
        scores=tuple(np.round(scores, 4).tolist()),
    )
