"""Calls of a model with the images of a batch: one row for each, or a fault for each that the model fails on."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.errors import BackendFault
from service.inference.backend import Backend, Outputs

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scored:
    """The outputs of the model for one image, the size of its batch, and the seconds in the queue and in the model.

    ``guard_score`` is None if no guard is in use; ``heatmap`` (float32 (h, w), 0..1) if it was not requested.
    ``covered_by``: the only population that covers the image, or None.
    """

    probability: float
    guard_score: float | None
    heatmap: NDArray[np.float32] | None
    covered_by: str | None
    batch_size: int
    queue_s: float
    inference_s: float


# Probability, guard score, heatmap and the only covering population of one image.
Row = tuple[float, float | None, NDArray[np.float32] | None, str | None]


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a batch: pixels, uint8 (200, 200, 1), and whether its row has the heatmap."""

    pixels: NDArray[np.uint8]
    explain: bool


class Scorer:
    """Scores images in the calling thread, of which there may be several. ``faults``: failed batches in a row.

    Args:
        backend: the model.
        on_batch: called with the size of each batch and the seconds it took.
        is_alone: returns whether at most one image is in flight.
    """

    def __init__(
        self,
        backend: Backend,
        on_batch: Callable[[int, float], object],
        is_alone: Callable[[], bool] = lambda: False,
    ) -> None:
        self._backend, self._on_batch, self._is_alone = backend, on_batch, is_alone
        self._lock = threading.Lock()
        self.faults = 0

    def score(self, images: Sequence[Image]) -> tuple[list[Row | BackendFault], float]:
        """One row or fault per image, and the seconds it took."""
        started = time.monotonic()
        rows = self._rows(images)
        took_s = time.monotonic() - started
        self._on_batch(len(images), took_s)
        return rows, took_s

    def _rows(self, images: Sequence[Image]) -> list[Row | BackendFault]:
        """If the model fails on a batch, each image is tried alone: only the culprits fail."""
        try:
            rows = self._call(images)
        except Exception:
            log.exception("the model failed on a batch", extra={"batch_size": len(images)})
            if len(images) > 1:
                return [self._rows([image])[0] for image in images]
            rows = [BackendFault()]
        self._count(failed=any(isinstance(row, BackendFault) for row in rows))
        return rows

    def _count(self, *, failed: bool) -> None:
        if failed or self.faults:
            with self._lock:
                self.faults = self.faults + 1 if failed else 0

    def _call(self, images: Sequence[Image]) -> list[Row | BackendFault]:
        """The rows of a batch: with heatmaps for all images if one requests its own, else without."""
        explain = any(image.explain for image in images)
        batch = np.stack([image.pixels for image in images])
        return _validated(self._backend.predict(batch, explain=explain, alone=self._is_alone()), images)


def _validated(outputs: Outputs, images: Sequence[Image]) -> list[Row | BackendFault]:
    """The outputs by image. An image whose probability or requested heatmap is not within 0..1 gets a fault.

    Raises:
        ValueError: an output does not have one row per image.
    """
    probability, score, heatmap = outputs.probability, outputs.guard_score, outputs.heatmap
    outputs.check(len(images))
    scores = [None] * len(images) if score is None else score.tolist()
    maps = [heatmap[row] if image.explain and heatmap is not None else None for row, image in enumerate(images)]
    rows = zip(probability.tolist(), scores, maps, outputs.covered_by or [None] * len(images), strict=True)
    return [row if _is_valid(row, image) else BackendFault() for row, image in zip(rows, images, strict=True)]


def _is_valid(row: Row, image: Image) -> bool:
    probability, _, heatmap, _ = row
    if image.explain and (heatmap is None or not ((heatmap >= 0) & (heatmap <= 1)).all()):
        return False
    return 0 <= probability <= 1
