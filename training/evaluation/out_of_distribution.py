"""Out-of-distribution images: how the model classifies them, and how many the input guard flags."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from contract.bundle import FEATURES, InputGuard, Measured
from contract.guard import distance
from contract.image import IMAGE_CONTRACT
from training.data.dataset import Skipped, read_images
from training.errors import DataError
from training.evaluation.assess import graph_output, graph_predict
from training.evaluation.evaluate import in_batches
from training.evaluation.metrics import Scores, share


@dataclass(frozen=True, slots=True, eq=False)
class ImageGroup:
    """Images of one kind.

    Attributes:
        kind: describes them.
        pixels: uint8 (n, 200, 200, 1).
        patient: shape (n,): rows with equal values belong to one patient.
        skipped: files of that kind that cannot be read.
    """

    kind: str
    pixels: NDArray[np.uint8]
    patient: NDArray[np.str_]
    skipped: tuple[Skipped, ...] = ()


class GroupResults(BaseModel):
    """The results for images of one kind. Without a guard, ``flagged`` is null and ``scores``, its scores, is empty."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    images: int
    called_pneumonia: Measured
    flagged: Measured | None
    scores: tuple[float, ...]


def find_image_groups(folder: Path, cache: Path, contract: int = IMAGE_CONTRACT) -> list[ImageGroup]:
    """Read the images of each subfolder as one group, or of the folder itself if it has no subfolders.

    Raises:
        DataError: no image of a folder can be read.
    """
    subfolders = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    groups = []
    for kind in subfolders or [folder]:
        pixels, names, skipped = read_images(kind, cache, contract)
        if not names:
            raise DataError(f"{kind}: contains no image that can be read")
        groups.append(ImageGroup(kind.name, pixels, np.array(names), tuple(skipped)))
    return groups


def measure_group(graph: bytes, group: ImageGroup, threshold: float, guard: InputGuard | None) -> GroupResults:
    """Measure a graph and its input guard on images of one kind.

    Args:
        graph: of a bundle.
        group: the images.
        threshold: PNEUMONIA is a probability at or above it, 0..1.
        guard: the bundle's, if it has one.
    """
    probability = in_batches(graph_predict(graph), group.pixels)
    scores = np.empty(0)
    if guard:
        scores = distance(in_batches(graph_output(graph, FEATURES), group.pixels), guard)
    unlabelled = Scores(probability.astype(np.float64), np.zeros(len(probability), np.uint8), group.patient)
    return GroupResults(
        kind=group.kind,
        images=len(probability),
        called_pneumonia=share(unlabelled, probability >= threshold),
        flagged=share(unlabelled, scores > guard.threshold) if guard else None,
        scores=tuple(np.round(scores, 4).tolist()),
    )
