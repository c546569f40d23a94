"""Stand-ins that go through the same protocol as the real thing."""

import threading

import numpy as np
from numpy.typing import NDArray

from contract.bundle import GRAPH
from service.backend import Outputs
from service.session import CPU


class FakeBackend:
    """Gives each image its mean brightness, 0..1; guarded, ten times that as its guard score. Remembers its batches.

    Set ``hold`` to keep the model busy until it is released, ``fails`` to make it fail on batches of such an image,
    ``heatmap`` to what each image that is explained gets, float32 (h, w).
    """

    provider = CPU
    graph = GRAPH

    def __init__(self, *, guarded: bool = False) -> None:
        self.guarded = guarded
        self.sizes: list[int] = []
        self.explained: list[bool] = []
        self.hold: threading.Event | None = None
        self.fails: int | None = None
        self.silent: int | None = None
        self.heatmap: NDArray[np.float32] = np.zeros((5, 5), np.float32)

    def predict(self, batch: NDArray[np.uint8], *, explain: bool = False) -> Outputs:
        """Score a batch."""
        self.sizes.append(len(batch))
        self.explained.append(explain)
        if self.hold is not None:
            self.hold.wait(10)
        if self.fails is not None and (batch == self.fails).all((1, 2, 3)).any():
            raise RuntimeError("told to fail")
        brightness: NDArray[np.float64] = batch.mean((1, 2, 3)) / 255
        scores = brightness.astype(np.float32)
        if self.silent is not None:
            scores[(batch == self.silent).all((1, 2, 3))] = np.nan
        heatmaps = np.stack([self.heatmap] * len(batch)) if explain else None
        return Outputs(scores, 10 * brightness if self.guarded else None, heatmaps)
